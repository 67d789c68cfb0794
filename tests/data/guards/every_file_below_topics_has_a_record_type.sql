{{ config(severity='warn') }}
{# Names each file that no model reads, for its topic's or its own name. #}

select files.file_path
from ({{ topic_files() }}) as files
where
    not {{ matches('files.file_path', landed_file_pattern('pin')) }}
    and not {{ matches('files.file_path', landed_file_pattern('geo')) }}
    and not {{ matches('files.file_path', landed_file_pattern('user')) }}
