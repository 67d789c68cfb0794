-- The made-up posts behind `ingest sample`: three views, one row per event, in order.
-- Variables set by the caller: `seed` and `events`.
-- Every value is drawn by hash from (seed, what it is for, event or person), and only
-- + - * / and sqrt touch a fraction: they round alike on every processor, pow does not.
-- No value depends on threads, blocks or the clock.

-- The inner hash only combines its parts by xor; the outer one mixes them.
create macro draw(purpose, n) as
    hash(hash(getvariable('seed')::bigint, purpose, n::bigint));

create macro share(purpose, n) as  -- in [0, 1)
    cast(draw(purpose, n) >> 11 as double) / 9007199254740992;

create macro below(size, fraction) as
    cast(floor(size * fraction) as bigint);

create macro chance(per_mille, purpose, n) as
    draw(purpose, n) % 1000 < per_mille;

create macro one_of(words, purpose, n) as
    words[1 + cast(draw(purpose, n) % len(words) as bigint)];

create macro mixed(n, modulus) as  -- a permutation of [0, modulus)
    (n * 618033989 + cast(draw('mixed', modulus) >> 24 as bigint)) % modulus;

-- Words -----------------------------------------------------------------------

create macro words(text) as
    string_split(
        replace(replace(replace(text, E'\n', ''), '\n', E'\n'), '\t', E'\t'), '~'
    );

set variable countries = words('
Afghanistan~Albania~Algeria~American Samoa~Andorra~Angola~Anguilla~
Antarctica (the territory South of 60 deg S)~Antigua and Barbuda~Argentina~Armenia~
Aruba~Australia~Austria~Azerbaijan~Bahamas~Bahrain~Bangladesh~Barbados~Belarus~Belgium~
Belize~Benin~Bermuda~Bhutan~Bolivia~Bosnia and Herzegovina~Botswana~
Bouvet Island (Bouvetoya)~Brazil~British Indian Ocean Territory (Chagos Archipelago)~
British Virgin Islands~Brunei Darussalam~Bulgaria~Burkina Faso~Burundi~Cambodia~
Cameroon~Canada~Cape Verde~Cayman Islands~Central African Republic~Chad~Chile~China~
Christmas Island~Cocos (Keeling) Islands~Colombia~Comoros~Congo~Cook Islands~Costa Rica~
Cote d''Ivoire~Croatia~Cuba~Cyprus~Czech Republic~Denmark~Djibouti~Dominica~
Dominican Republic~Ecuador~Egypt~El Salvador~Equatorial Guinea~Eritrea~Estonia~Ethiopia~
Falkland Islands (Malvinas)~Faroe Islands~Fiji~Finland~France~French Guiana~
French Polynesia~French Southern Territories~Gabon~Gambia~Georgia~Germany~Ghana~
Gibraltar~Greece~Greenland~Grenada~Guadeloupe~Guam~Guatemala~Guernsey~Guinea~
Guinea-Bissau~Guyana~Haiti~Heard Island and McDonald Islands~
Holy See (Vatican City State)~Honduras~Hong Kong~Hungary~Iceland~India~Indonesia~Iran~
Iraq~Ireland~Isle of Man~Israel~Italy~Jamaica~Japan~Jersey~Jordan~Kazakhstan~Kenya~
Kiribati~Korea~Kuwait~Kyrgyz Republic~Lao People''s Democratic Republic~Latvia~Lebanon~
Lesotho~Liberia~Libyan Arab Jamahiriya~Liechtenstein~Lithuania~Luxembourg~Macao~
Macedonia~Madagascar~Malawi~Malaysia~Maldives~Mali~Malta~Marshall Islands~Martinique~
Mauritania~Mauritius~Mayotte~Mexico~Micronesia~Moldova~Monaco~Mongolia~Montenegro~
Montserrat~Morocco~Mozambique~Myanmar~Namibia~Nauru~Nepal~Netherlands~
Netherlands Antilles~New Caledonia~New Zealand~Nicaragua~Niger~Nigeria~Niue~
Norfolk Island~Northern Mariana Islands~Norway~Oman~Pakistan~Palau~
Palestinian Territory~Panama~Papua New Guinea~Paraguay~Peru~Philippines~
Pitcairn Islands~Poland~Portugal~Puerto Rico~Qatar~Reunion~Romania~Russian Federation~
Rwanda~Saint Barthelemy~Saint Helena~Saint Kitts and Nevis~Saint Lucia~Saint Martin~
Saint Pierre and Miquelon~Saint Vincent and the Grenadines~Samoa~San Marino~
Sao Tome and Principe~Saudi Arabia~Senegal~Serbia~Seychelles~Sierra Leone~Singapore~
Slovakia (Slovak Republic)~Slovenia~Solomon Islands~Somalia~South Africa~
South Georgia and the South Sandwich Islands~Spain~Sri Lanka~Sudan~Suriname~
Svalbard & Jan Mayen Islands~Swaziland~Sweden~Switzerland~Syrian Arab Republic~Taiwan~
Tajikistan~Tanzania~Thailand~Timor-Leste~Togo~Tokelau~Tonga~Trinidad and Tobago~Tunisia~
Turkey~Turkmenistan~Turks and Caicos Islands~Tuvalu~Uganda~Ukraine~United Arab Emirates~
United Kingdom~United States Minor Outlying Islands~United States Virgin Islands~
United States of America~Uruguay~Uzbekistan~Vanuatu~Venezuela~Vietnam~Wallis and Futuna~
Western Sahara~Yemen~Zambia~Zimbabwe
');

set variable first_names = words('
Aaron~Abigail~Adam~Adrian~Aisha~Alan~Albert~Alejandro~Alex~Alice~Alicia~Amanda~Amber~
Amy~Ana~Andrea~Andrew~Angela~Anna~Anthony~Antonio~April~Ashley~Audrey~Barbara~Benjamin~
Beth~Björn~Brandon~Brenda~Brian~Brittany~Bruce~Caleb~Carla~Carlos~Carol~Caroline~
Catherine~Chad~Charles~Chloé~Christina~Christopher~Cindy~Clara~Claire~Colin~Connor~
Courtney~Craig~Crystal~Cynthia~Dale~Daniel~David~Dawn~Deborah~Denise~Dennis~Derek~Diana~
Diego~Donald~Donna~Douglas~Dylan~Edward~Elena~Elijah~Elizabeth~Emily~Emma~Eric~Erin~
Ethan~Eva~Evelyn~Fatima~Felix~Fiona~Francis~Frank~Gabriel~Gary~George~Gina~Grace~Greta~
Hannah~Heather~Helen~Henry~Holly~Ian~Ingrid~Isaac~Jack~Jacob~James~Jane~Jasmine~
Jean-Luc~Jenna~Jerry~Jesse~Joan~Joel~John~Jonas~José~Joyce~Juan~Julia~Karen~Karl~Kayla~
Keith~Kenji~Kyle~Laura~Leah~Leon~Liam~Lisa~Lucas~Lucy~Luis~Maria~Mark~Mary Ann~Mateo~
Megan~Mia~Mohamed~Molly~Nadia~Nancy~Nina~Noah~Nora~Olga~Oscar~Patrick~Paula~Peter~Priya~
Rachel~Renée~Robin~Rosa~Ruth~Sam~Sara~Sean~Sofia~Stella~Thomas~Tina~Uma~Vera~Wei~Yuki~
Zoë
');

set variable last_name_starts = words('
Ash~Black~Brook~Clay~Cross~Dun~East~Elm~Fair~Fox~Glen~Green~Hart~Haw~Holl~Kirk~Lang~
Long~Mc~O''Mar~Oak~Red~Stan~Thorn~Wind
');

set variable last_name_ends = words('
berg~bridge~bury~by~den~field~ford~ham~ley~man~more~ridge~son~ton~wood
');

-- 100 syllables: three of them write a million brands, no two alike.
set variable syllables = flatten([
    [onset || vowel for vowel in ['a', 'e', 'i', 'o', 'u']]
    for onset in words('b~br~d~f~fl~g~h~k~kr~l~m~n~p~r~s~st~t~tr~v~z')
]);

set variable poster_styles = words('
{}~{}~{}~{}~{} Studio~{} & Co.~The {} Blog~{} | Food + Travel~{} | DIY, Home & Garden~
{}: ideas for every day~{} ✨~{} 🌿 Handmade~{}.com~Casa {}~ {} ~Atelier {} – Paris~
{} の部屋~Студия {}~مدونة {}~Life of "{}"
');

-- The least number and the unit of what is shown: a size is one of these 31 places.
set variable follower_leasts = [
    0, 1, 10, 10, 100, 100, 100, 1, 1, 1, 1, 1, 10, 10, 10, 10, 10, 10, 10, 10, 10,
    100, 100, 100, 100, 100, 100, 100, 100, 1, 1
];
set variable follower_units = words('~~~~~~~k~k~k~k~k~k~k~k~k~k~k~k~k~k~k~k~k~k~k~k~k~k~M~M');

set variable categories = words('
art~beauty~christmas~diy-and-crafts~education~event-planning~finance~home-decor~
mens-fashion~quotes~tattoos~travel~vehicles
');

-- The category of each per cent of the event numbers: the scrape went by category.
set variable category_of_percent = flatten([
    [category for _ in range([8, 7, 9, 8, 7, 7, 7, 8, 7, 8, 9, 8, 7][1 + category])]
    for category in range(13)
]);

-- Twelve a category, in the order of the categories.
set variable subjects = words('
Watercolor Painting~Pencil Drawing~Canvas Art~Collage~Gouache~Line Art~Mandala~
Art Lesson~Clay Sculpture~Landscape Painting~Sketchbook~Aquarelle~
Makeup~Skin Care~Nail Art~Face Mask~Hairstyle~Lip Gloss~Perfume~Eyeliner~Natural Soap~
Braids~Sunscreen~Maquillaje~
Christmas Tree~Christmas Cookies~Wreath~Advent Calendar~Gift Wrap~Ornament~Stocking~
Gingerbread House~Christmas Lights~Snowman~Table Setting~Weihnachtsdeko~
Paper Craft~Crochet Pattern~Macrame~Wood Project~Knitting~Upcycling~Origami~
Sewing Pattern~Candle Making~Resin Art~Kids Craft~Manualidades~
Classroom~Reading Game~Math Center~Science Experiment~Spelling~Worksheet~Lesson Plan~
Geography~Preschool Activity~Study Notes~Phonics~Kindergarten~
Wedding~Birthday Party~Baby Shower~Event Checklist~Guest List~Centerpiece~Invitation~
Balloon Arch~Picnic~Graduation Party~Seating Chart~Fiesta~
Budget~Saving Money~Side Hustle~Investing~Debt Payoff~Emergency Fund~Retirement~
Frugal Living~Credit Score~Passive Income~Meal Budget~Finanzas~
Living Room~Bedroom~Kitchen~Farmhouse Decor~Wall Shelf~Bathroom~Rug~Curtains~Entryway~
Small Apartment~Home Office~Décoration~
Suit~Street Style~Sneakers~Beard~Leather Jacket~Summer Outfit~Watch~Denim~Haircut~
Winter Coat~Capsule Wardrobe~Linen Shirt~
Love Quote~Life Quote~Motivation~Friendship~Wisdom~Work Quote~Funny Saying~Strength~
Happiness~Morning Quote~Self Care~Frases~
Tattoo~Sleeve Tattoo~Finger Tattoo~Flower Tattoo~Minimal Tattoo~Dragon Tattoo~
Line Tattoo~Wrist Tattoo~Back Tattoo~Compass Tattoo~Script Tattoo~Tatuaje~
Road Trip~Beach~Itinerary~Packing List~City Break~Hiking~National Park~Backpacking~
Island~Camping~Train Journey~Viajes~
Classic Car~Motorcycle~Camper Van~Pickup Truck~Sports Car~Bicycle~Electric Car~Off Road~
Car Interior~Scooter~Garage~Voiture
');

set variable tag_styles = words('
{} Ideas~{}~Diy {}~Easy {}~Simple {}~{} Tutorial~{} Inspiration~Best {}~Modern {}~
Vintage {}~{} For Beginners~Cute {}~{} Aesthetic~{} Design~Cool {}~{} Tips~Creative {}~
{} & More~Rustic {}~Ideas De {}
');

-- 240 a category.
set variable tags = flatten([
    flatten([
        [
            replace(style, '{}', subject)
            for subject in getvariable('subjects')[12 * category + 1:12 * category + 12]
        ]
        for style in getvariable('tag_styles')
    ])
    for category in range(13)
]);

set variable title_starts = words('
10 Easy ~27 ~DIY ~The Best ~How to Make a ~How to Choose a ~My First ~101 ~Beautiful ~
Simple ~A Complete Guide to ~Why I Love ~Stunning ~Cozy ~Weekend ~15 Clever ~
Our Favourite ~Free ~Budget-Friendly ~New: ~Before & After: ~Watch: ~~~~~~
');

set variable title_ends = words('
~ Ideas~ Ideas for Beginners~ You Will Love~ Tutorial – Step by Step~
 Inspiration | Tips and Tricks~ (Free Printable)~ Hacks That Really Work~ 😍~
 That Will Make Your Day~ on a Budget~ - Part 2~ for Small Spaces~
 Trends This Season 🎨✨~ {With Template}~ in 5 Minutes~ \o/~ - 40x50cm / No Frame / 05~
 "Must Have" List~
 from Start to Finish, with Every Tool and Every Step That You Need to Know About
');

set variable odd_titles = words('
Diseños fáciles para el fin de semana~40 idées et + à réaliser soi-même~
Schöne Ideen für Zuhause – ganz einfach~Идеи для дома своими руками~簡単にできるアイデア１０選~
간단한 아이디어 모음~简单的手工教程~أفكار جميلة وسهلة~רעיונות קלים לבית~आसान विचार~Ιδέες για το σπίτι~
ไอเดียง่ายๆ~👍👍🏽👩‍👩‍👧 ❤️~<b>Big</b> list of <i>small</i> things<br/>~
Two lines:\nthis is the second~Tab\tseparated\ttitle~She said "wow" \ he said "no"~
It&#39s a kind of magic &#128077;~  padded with blanks  ~..~~
');

set variable sentences = words('
Everyone loves a good {}! Try one this weekend and tell us how it went.~
A step by step guide to {} with pictures, written for people who have never done it.~
Looking for {} ideas? Here are our favourites, collected over the years.~
We tested the most popular ways to get started with {} and these are the ones that work.~
Save this for later!~Click here now for all the info about {}!!~{} made simple.~
This post may contain links. Read on for everything that you need, from tools to timing.~
Materials: paper, scissors, glue, a ruler and some patience.~
I can&#39t believe how easy this {} was &#128077;~
Don&#39t miss part two &amp; the free printable.~
<p>More about <a href="https://example.com">{}</a> on the blog.</p>~
First line\nSecond line\n\nFourth line~Price:\t12.50\tShipping:\tfree~
"The best {} ever" – says my neighbour~C:\ideas\{} is where I keep them~
Perfect for autumn evenings 🍂🍁, rainy days ☔ and long weekends.~
Una guía muy fácil para toda la familia, con muchas fotos y consejos.~
Ein schönes Projekt für graue Tage – dauert nur eine halbe Stunde.~
Une idée simple et jolie à réaliser avec les enfants pendant les vacances.~
Простая и красивая идея для всей семьи.~
初心者でも簡単にできます。ぜひ試してみてください。~초보자도 쉽게 따라 할 수 있는 간단한 방법 👍~
فكرة سهلة وجميلة لكل العائلة~
Handmade with care; ships in three days. Each piece is one of a kind and may
 differ a little from the picture.~
See how one family turned an ordinary afternoon into something to remember.~
Get inspired by {}.~
Beautify your home with this set of fashionable prints, which look good in every room and
 at every time of the year.~
There are many reasons to love {}, and most of them have nothing to do with money.~
It takes ten minutes, costs next to nothing and looks great.
');

-- People: each fact is drawn for the person's number --------------------------
-- Two people never share a brand, a place, or a name together with a second of joining:
-- `mixed` is one to one, and beyond its modulus a second part moves on by one.

create macro brand(person) as concat(
    upper(getvariable('syllables')[1 + mixed(person, 1000000) // 10000][1]),
    getvariable('syllables')[1 + mixed(person, 1000000) // 10000][2:],
    getvariable('syllables')[1 + mixed(person, 1000000) // 100 % 100],
    getvariable('syllables')[1 + mixed(person, 1000000) % 100],
    case when person >= 1000000
        then getvariable('syllables')[1 + person // 1000000 % 100]
    end
);

create macro poster_name(person) as
    replace(one_of(getvariable('poster_styles'), 'poster', person), '{}', brand(person));

create macro moved_on(purpose, base, size, person, modulus) as
    (cast(draw(purpose, base) >> 1 as bigint) % size + person // modulus) % size;

create macro second_of_joining(person) as  -- 16 days hold 1,382,400 seconds
    mixed(person, 1382400);

create macro date_joined(person) as
    timestamp '2015-10-21 00:00:00' + to_seconds(
        1382400 * below(45, share('joined', person) * share('joined', person))
        + second_of_joining(person)
    );

create macro first_name(person) as getvariable('first_names')[1 + moved_on(
    'first name',
    second_of_joining(person),
    len(getvariable('first_names')),
    person,
    1382400
)];

create macro last_name(person) as concat(
    one_of(getvariable('last_name_starts'), 'last name start', person),
    one_of(getvariable('last_name_ends'), 'last name end', person)
);

create macro age(person) as
    20 + below(41, share('age', person) * share('age', person));

create macro latitude(person) as (mixed(person, 1800001) - 900000) / 10000;

create macro longitude(person) as (
    moved_on('longitude', mixed(person, 1800001), 3600001, person, 1800001) - 1800000
) / 10000;

create macro country(n) as getvariable('countries')[
    1 + below(
        len(getvariable('countries')), share('country', n) * sqrt(share('country', n))
    )
];

create macro follower_size(person) as
    1 + cast(draw('follower size', person) % len(getvariable('follower_leasts')) as bigint);

-- What is shown drifts by one between posts: `500k`, then `501k`.
create macro follower_number(person, event, least) as
    least
    + cast(draw('followers', person) % greatest(least * 9 - 1, 1)::ubigint as bigint)
    + (draw('drift', event) % 4 = 0)::bigint;

create macro follower_count(person, event, size) as concat(
    follower_number(person, event, getvariable('follower_leasts')[size]),
    getvariable('follower_units')[size]
);

-- Posts -----------------------------------------------------------------------

-- Person 0 is the one the scrape failed on. A third of the other posts is by somebody who
-- posts once, and the rest by the regulars, the first far more often than the last.
set variable regulars = greatest(2000, getvariable('events') // 5);

create view events as
select
    event,
    getvariable('category_of_percent')[1 + event * 100 // getvariable('events')]
        as category,
    case
        when chance(10, 'failed', event) then 0
        when chance(360, 'posts once', event) then 1 + getvariable('regulars') + event
        else 1 + below(
            getvariable('regulars'),
            share('person', event) * share('person', event) * sqrt(share('person', event))
        )
    end as person,
    case
        when chance(77, 'story', event) then 'multi-video(story page format)'
        when chance(35, 'video', event) then 'video'
        else 'image'
    end as media,
    media like 'multi%' and chance(370, 'broken image', event) as is_broken,
    md5(concat(getvariable('seed'), ' ', event)) as digest
from range(getvariable('events')) as numbers (event);

create macro subject(category, event, purpose) as getvariable('subjects')[
    1 + 12 * category + cast(draw(purpose, event) % 12 as bigint)
];

create macro title(category, event) as case
    when chance(100, 'odd title', event)
        then one_of(getvariable('odd_titles'), 'title', event)
    else concat(
        one_of(getvariable('title_starts'), 'title start', event),
        subject(category, event, 'subject'),
        case when chance(500, 'second subject', event)
            then ' and ' || subject(category, event, 'second subject')
        end,
        one_of(getvariable('title_ends'), 'title end', event)
    )
end;

create macro whole_description(category, event) as replace(
    concat_ws(
        ' ',
        one_of(getvariable('sentences'), 'sentence 1', event),
        case when chance(700, 'is sentence 2', event)
            then one_of(getvariable('sentences'), 'sentence 2', event)
        end,
        case when chance(500, 'is sentence 3', event)
            then one_of(getvariable('sentences'), 'sentence 3', event)
        end,
        case when chance(250, 'is sentence 4', event)
            then one_of(getvariable('sentences'), 'sentence 4', event)
        end
    ),
    '{}',
    subject(category, event, 'subject')
);

create macro description(text) as
    case when length(text) > 177 then left(text, 177) || '…' || chr(160) else text end;

-- Nine different tags: each from its own ninth of the category's 234 most used.
create macro tag_list(category, event) as array_to_string(
    [
        getvariable('tags')[
            1 + 240 * category
            + 9 * below(26, share(place, event) * sqrt(share(place, event)))
            + (event + place) % 9
        ]
        for place in range(9)
    ],
    ','
);

create macro unique_id(digest) as concat_ws(
    '-',
    digest[1:8],
    digest[9:12],
    '4' || digest[14:16],
    translate(digest[17], '0123456789abcdef', '89ab89ab89ab89ab') || digest[18:20],
    digest[21:32]
);

create macro image_src(digest, media) as concat(
    'https://i.pinimg.example/',
    case when media = 'video' then 'videos/thumbnails/' end,
    concat_ws('/', 'originals', digest[1:2], digest[3:4], digest[5:6], digest),
    case when media = 'video' then '.0000001' end,
    '.jpg'
);

-- The three records of an event -----------------------------------------------

create view pin as
select
    event as index,
    unique_id(digest) as unique_id,
    case when person = 0 then 'No Title Data Available' else title(category, event) end
        as title,
    case
        when media like 'multi%' then 'No description available Story format'
        when chance(24, 'description', event) then 'No description available'
        else description(text)
    end as description,
    case when person = 0 then 'User Info Error' else poster_name(person) end
        as poster_name,
    case
        when person = 0 then 'User Info Error'
        else follower_count(person, event, size)
    end as follower_count,
    case
        when person = 0 or chance(8, 'tags', event)
            then 'N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e'
        else tag_list(category, event)
    end as tag_list,
    media as is_image_or_video,
    case when is_broken then 'Image src error.' else image_src(digest, media) end
        as image_src,
    case when is_broken then 0 else 1 end as downloaded,
    'Local save in /data/' || getvariable('categories')[1 + category] as save_location,
    getvariable('categories')[1 + category] as category
from (
    select
        *,
        whole_description(category, event) as text,
        follower_size(person) as size
    from events
);

-- One post in twenty is from abroad.
create view geo as
select
    event as ind,
    cast(
        timestamp '2017-10-20 00:00:00'
        + to_seconds(below(157680000, share('posted', event))) as varchar
    ) as timestamp,
    latitude(person) as latitude,
    longitude(person) as longitude,
    country(case when chance(50, 'abroad', event) then -event else person end) as country
from events;

create view "user" as
select
    event as ind,
    first_name(person) as first_name,
    last_name(person) as last_name,
    age(person) as age,
    cast(date_joined(person) as varchar) as date_joined
from events;

-- Where dirt may go, in the order in which it does ----------------------------

create view regular_events as
select event
from events
where person between 1 and getvariable('regulars')
order by draw('dirt', event), event;

create view single_events as
select event
from events
where person > getvariable('regulars')
order by draw('dirt', event), event;
