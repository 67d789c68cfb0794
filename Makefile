# `make` prints this help. Every target sets itself up; nothing else is needed but
# Python 3.11 or 3.12, git and make.
.DEFAULT_GOAL := help
.SUFFIXES:
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
SOURCE ?=
BAD_LINES ?= refuse
BOOTSTRAP ?= localhost:9092
USER_ID ?= $(if $(SOURCE),12a740a19697,sample)
DATA ?= data
export LANDING ?= $(DATA)/landing
export DUCKDB_PATH ?= $(DATA)/pinterest.duckdb
export ANSWERS_PATH ?= $(DATA)/answers.duckdb
export DASHBOARD_PATH ?= $(DATA)/dashboard.html
export CHANGED_PATH ?= $(DATA)/changed.duckdb
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# Which of these are not where commands without make look for them.
MOVED := $(filter-out LANDING=data/landing DUCKDB_PATH=data/pinterest.duckdb \
	ANSWERS_PATH=data/answers.duckdb DASHBOARD_PATH=data/dashboard.html, \
	LANDING=$(LANDING) DUCKDB_PATH=$(DUCKDB_PATH) \
	ANSWERS_PATH=$(ANSWERS_PATH) DASHBOARD_PATH=$(DASHBOARD_PATH))

# What the last green build was made of, for `make changed`.
STATE := $(basename $(DUCKDB_PATH)).state

# In percent of ingestion/; without the servers that CI has, less of it runs.
COVERAGE := $(if $(CI),90,85)

# Side by side, those with the longest files first.
WORKERS ?= 2
SUITES := $(addprefix tests/,orchestration pipeline land emit ingestion mutations cloud)

PIP := .venv/bin/python -m pip install --quiet --disable-pip-version-check

help: ## Print this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|'

setup: .venv/run.done profiles.yml $(DUCKDB_PATH) ## Make .venv, profiles.yml and an empty database
	@cmp -s profiles.yml.example profiles.yml || echo "profiles.yml is not as profiles.yml.example is now: if you did not change it, remove it, and make setup copies it anew" >&2

$(DUCKDB_PATH): | .venv/run.done profiles.yml
	@mkdir -p '$(@D)'
	@dbt --quiet seed

.venv/run.done: requirements/run.txt pyproject.toml
	@echo "Setting up .venv"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else "Python 3.11 or 3.12 is needed, this is %d.%d: make PYTHON=python3.12 ..." % v)'
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@$(PIP) --no-deps --require-hashes -r requirements/run.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@cd .venv && ln -sfn lib/python3.*/site-packages/dbt/jsonschemas dbt-jsonschemas
	@touch $@

.venv/dev.done: .venv/run.done requirements/dev.txt
	@echo "Adding what tests need to .venv"
	@$(PIP) --no-deps --require-hashes -r requirements/dev.txt
	@touch $@

.venv/bench.done: .venv/dev.done requirements/bench.txt
	@echo "Adding what benchmarks need to .venv"
	@$(PIP) --no-deps --require-hashes -r requirements/bench.txt
	@touch $@

profiles.yml:
	@cp profiles.yml.example profiles.yml

run: setup ## Events to answers: make run [SOURCE=folder of JSON Lines] [DATA=data]
	@[ -z '$(SOURCE)' ] || [ -d '$(SOURCE)' ] || { echo "There is no folder $(SOURCE): SOURCE is a folder with pin.jsonl, geo.jsonl and user.jsonl" >&2; exit 1; }
	@if [ -d '$(LANDING)/topics' ] && ! compgen -G '$(LANDING)/topics/$(USER_ID).*' >/dev/null; then \
		echo "$(LANDING) holds other events: their numbers would mix. Choose a new place: make run$(if $(SOURCE), SOURCE='$(SOURCE)') DATA=data/other" >&2; exit 1; fi
	@echo "1/3 Landing events in $(LANDING)"
	@ingest emit landing --source '$(or $(SOURCE),sample)' --landing '$(LANDING)' --user-id '$(USER_ID)' --bad-lines '$(BAD_LINES)' || [ $$? = 3 ]
	@echo "2/3 Building and testing the models in $(DUCKDB_PATH)"
	@$(MAKE) --no-print-directory build
	@echo "3/3 The answers"
	@ingest answers --limit 8
	@echo "Answers: $(ANSWERS_PATH), for notebooks and BI tools. Landed records: $(LANDING)."
	@ingest dashboard
	@echo "Next: ingest answers --help · make trace EVENT=$(if $(SOURCE),…,7528)$(if $(MOVED), $(MOVED)) · make docs · dbt show -s rpt_users_joined_by_year (after: source .venv/bin/activate$(if $(MOVED),; export $(MOVED)))"

build: setup ## Build the models, test the data, publish what is green
	@dbt --quiet build --exclude-resource-type unit_test
	@ingest publish
	@mkdir -p '$(STATE)' && cp '$(or $(DBT_TARGET_PATH),target)/manifest.json' '$(STATE)'

follow: setup ## Land from Kafka and build, again and again: make follow BOOTSTRAP=localhost:9092 USER_ID=...
	@ingest follow kafka --bootstrap '$(BOOTSTRAP)' --user-id '$(USER_ID)' --landing '$(LANDING)'

trace: setup ## Where an answer comes from: make trace EVENT=7528
	@ingest trace $(EVENT)

dashboard: setup ## Write the reports as charts, one page in one file
	@ingest dashboard

docs: setup ## Write the models' documentation to target/static_index.html
	@dbt --quiet docs generate --static
	@echo "Open $(or $(DBT_TARGET_PATH),target)/static_index.html"

pictures: .venv/dev.done ## Draw the README's pictures, of a terminal and the page, after make run
	@python scripts/picture.py docs/pictures/answers.svg ingest answers rpt_median_followers_by_age_group
	@python scripts/page_picture.py docs/pictures/page.png '$(DASHBOARD_PATH)'

model: .venv/run.done ## Begin a new report: make model NAME=rpt_…
	@python scripts/new_report.py '$(NAME)'

changed: setup ## Build what changed since the last green build, beside it
	@[ -f '$(STATE)/manifest.json' ] || { echo "There is no green build to read what has not changed from: make build" >&2; exit 1; }
	@rm -f '$(CHANGED_PATH)' '$(CHANGED_PATH).wal'
	@dbt build --target changed --select state:modified+ --defer --favor-state --state '$(STATE)'
	@if [ -f '$(CHANGED_PATH)' ]; then echo "Built in $(CHANGED_PATH); $(DUCKDB_PATH) is as it was. Next: make diff BASE=main · make build"; \
		else echo "Nothing has changed since the last green build: nothing is built."; fi

diff: setup ## Rows of reports that change: make diff BASE=main [ROWS=10]
	@python scripts/diff_reports.py --base '$(or $(BASE),main)' --rows '$(or $(ROWS),10)'

# What was linted green is linted again when it, or what all models share, changes.
SHARED_BY_MODELS := .sqlfluff dbt_project.yml macros seeds requirements/dev.txt

check: .venv/dev.done profiles.yml ## Lint what changed, and type-check: seconds, minutes where it is all
	@start=$$SECONDS; ruff check . && ruff format --check . && mypy && \
		python scripts/check_models.py && \
		$(MAKE) --no-print-directory target/linted && echo "check: $$((SECONDS - start)) s"

.PHONY: target/linted
target/linted:
	@mkdir -p target && touch target/linting
	@if [ ! -e $@ ] || find $(SHARED_BY_MODELS) -cnewer $@ | grep -q .; \
		then changed='models tests/data'; echo "Linting all SQL: minutes"; \
		else changed="$$(find models tests/data -name '*.sql' -cnewer $@)"; fi; \
		[ -z "$$changed" ] || DUCKDB_PATH=:memory: DBT_TARGET=duckdb \
			PYTHONWARNINGS=ignore:resource_tracker:UserWarning \
			sqlfluff lint --processes 0 --disable-progress-bar $$changed
	@mv target/linting $@

spark: .venv/dev.done .spark/jars.done profiles.yml ## What dbt build --target spark needs; wants Java 17 and Maven

cluster: spark ## A Spark cluster on this machine, for --target spark_cluster
	@echo "Starting a master, two workers and a Thrift server; logs are in data/cluster/logs"
	@python tests/servers/spark_cluster.py start data/cluster
	@echo "Type the line above, then: dbt build --target spark_cluster (after: source .venv/bin/activate)"

cluster-stop: ## Stop it; its tables stay in data/cluster
	@python tests/servers/spark_cluster.py stop data/cluster

.spark/jars.done: pom.xml
	@echo "Fetching jars for Spark: Delta, S3A"
	@mvn --batch-mode --quiet dependency:copy-dependencies -DoutputDirectory='$(CURDIR)/.spark/jars'
	@touch $@

servers: .servers/kafka.done .servers/kinesalite.done .servers/ministack.done .servers/axe.done .servers/yaml-language-server.done ## Servers for tests; wants Java 17, Maven and npm

.servers/kafka.done: tests/servers/kafka-pom.xml
	@echo "Fetching a Kafka broker for tests"
	@mvn --batch-mode --quiet -f $< dependency:copy-dependencies -DoutputDirectory='$(CURDIR)/.servers/kafka'
	@touch $@

.servers/%.done: tests/servers/%/package-lock.json
	@echo "Fetching $* from npm for tests"
	@mkdir -p .servers/$* && cp tests/servers/$*/package*.json .servers/$*
	@npm ci --prefix .servers/$* --ignore-scripts --no-audit --no-fund --silent
	@touch $@

.servers/ministack.done: requirements/ministack.txt
	@echo "Fetching MiniStack (S3) for tests"
	@$(PYTHON) -m venv .servers/ministack
	@.servers/ministack/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.servers/quixstreams.done: requirements/quixstreams.txt
	@echo "Fetching Quix Streams for benchmarks"
	@$(PYTHON) -m venv .servers/quixstreams
	@.servers/quixstreams/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.servers/airflow-%.done: requirements/airflow-%.txt
	@echo "Fetching Airflow $* for tests"
	@$(PYTHON) -m venv .servers/airflow-$*
	@.servers/airflow-$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

# What tests need of this machine, fetched while it lints.
HAS_JAVA = $(shell command -v java >/dev/null && command -v mvn >/dev/null && echo yes)
HAS_NPM = $(shell command -v npm >/dev/null && echo yes)
FETCHED = .servers/ministack.done $(if $(HAS_JAVA),spark .servers/kafka.done) \
	$(if $(HAS_NPM),$(addprefix .servers/,kinesalite.done axe.done yaml-language-server.done)) \
	$(if $(CI),.servers/airflow-2.11.done .servers/airflow-3.0.done)

test: ## Lint all, all tests, dbt build, end to end
	@$(if $(HAS_JAVA),,echo "Spark and Kafka are left out: install Java 17 and Maven for them")
	@$(if $(HAS_NPM),,echo "Kinesis, the page in a browser and the editor's YAML are left out: install nodejs and npm for them")
	@rm -f target/linted && $(MAKE) -s --no-print-directory -j2 check $(FETCHED)
	@pytest -n $(WORKERS) --no-loadscope-reorder --durations=20 \
		--cov --cov-report=term:skip-covered --cov-fail-under=$(COVERAGE) $(SUITES)

bench: .venv/bench.done profiles.yml .servers/kafka.done .servers/kinesalite.done .servers/ministack.done .servers/quixstreams.done .spark/jars.done ## Benchmarks: ratios, not tests; about two hours
	python benchmarks/models.py
	python benchmarks/kinesis.py
	python benchmarks/kafka_rest.py
	python benchmarks/landing.py
	python benchmarks/flush.py
	python benchmarks/follow.py
	python benchmarks/engines.py --events 1000000 10000000

soak: .venv/dev.done .spark/jars.done .servers/kafka.done .servers/airflow-2.11.done .servers/airflow-3.0.done ## Long random campaigns of emitting and landing, all models in Airflow, all loads on each engine: hours
	SOAK=1 pytest -k soak tests/emit/test_kafka_rest_servers.py
	SCHEDULES=10000 pytest -s tests/ingestion/test_lander.py tests/ingestion/test_s3_chains.py
	ROUNDS=2000 pytest -s -k three_landers tests/land/test_kafka_landing.py
	SOAK=1 pytest -k task_for_each_model tests/orchestration
	SOAK=1 pytest -n $(WORKERS) --no-loadscope-reorder tests/pipeline/test_engines.py

lock: ## Rewrite requirements/ from pyproject.toml
	uv lock --quiet --upgrade
	uv export --quiet --no-emit-project --no-annotate --no-header --no-default-groups -o requirements/run.txt
	uv export --quiet --no-emit-project --no-annotate --no-header --all-extras --no-group bench -o requirements/dev.txt
	uv export --quiet --no-emit-project --no-annotate --no-header --only-group bench -o requirements/bench.txt
	rm uv.lock
	echo ministack==1.5.33 | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -o requirements/ministack.txt -
	printf '%s\n' apache-airflow==2.11.0 apache-airflow-providers-standard astronomer-cosmos | uv pip compile --quiet --universal --python-version 3.11 --exclude-newer 2025-07-01 --generate-hashes --no-annotate --no-header -o requirements/airflow-2.11.txt -
	printf '%s\n' apache-airflow==3.0.6 astronomer-cosmos | uv pip compile --quiet --universal --python-version 3.11 --exclude-newer 2025-10-01 --generate-hashes --no-annotate --no-header -o requirements/airflow-3.0.txt -
	echo 'quixstreams[s3]==3.28.1' | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -o requirements/quixstreams.txt -

clean: ## Remove what can be built anew; landed records stay
	rm -rf target logs '$(STATE)'
	rm -f '$(DUCKDB_PATH)' '$(DUCKDB_PATH).wal' '$(CHANGED_PATH)' '$(ANSWERS_PATH)' '$(DASHBOARD_PATH)'

.PHONY: help setup run build follow trace dashboard docs pictures model changed diff check spark cluster cluster-stop servers test bench soak lock clean
