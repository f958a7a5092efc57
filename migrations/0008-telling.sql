-- Who wrote in which space, who asked to hear of it, and what became of spaces that ended. Times are milliseconds since 1970, given by
-- the program's clock. A space revision is microseconds since 1970; on the wire it is a TID.

-- The newest space revision of each space. It is held while one is given out, so that they rise in the order in which they are seen, on
-- any number of processes; it outlives the end of the space, so that none is ever given twice. `told_rev`: up to where those who asked
-- have been roused.
create table writer_set (
  space text collate "C" primary key references space (uri),
  community text collate "C" not null references community_revision (community),
  last_rev bigint not null,
  told_rev bigint not null default 0
);
create index writer_set_to_tell on writer_set (space) where last_rev > told_rev;

-- The newest revision of each repo that wrote in a space. What waits to be told is read from here: a newer revision takes the place of
-- an older one by itself, and whoever asked has only a place in this order. `host` is where the repo's PDS was when it last wrote.
create table writer (
  space text collate "C" not null references space (uri),
  repo text collate "C" not null,
  community text collate "C" not null references community_revision (community),
  repo_rev text collate "C" not null,
  hash bytea check (octet_length(hash) = 32),
  space_rev bigint not null,
  host text collate "C",
  primary key (space, repo)
);
create unique index writer_by_rev on writer (space, space_rev);
create index writer_by_host on writer (space, host);

-- Who asked to hear about writes in a space, and how far each has got. `wanted_rev`: the newest that it has to hear of; `delivered_rev`: the
-- newest that it was sent. `look_at_ms`: not before this; a process that delivers has taken the row until then, and `turn` tells it
-- whether it still has. `ended_at_ms`: the space came to its end, of which it has to hear still. Each index is written anew three times for
-- everything that is told, and costs as much as the row: there are only those without which somebody would have to wait.
create table registration (
  id bigint generated always as identity primary key,
  space text collate "C" not null references space (uri),
  community text collate "C" not null references community_revision (community),
  service text collate "C" not null,
  host text collate "C" not null,
  registered_at_ms bigint not null,
  expires_at_ms bigint not null,
  proved_at_ms bigint,
  paused_at_ms bigint,
  paused_by text collate "C",
  ended_at_ms bigint,
  wanted_rev bigint not null,
  delivered_rev bigint not null,
  look_at_ms bigint not null default 0,
  turn bigint not null default 0,
  checked_revision bigint not null,
  checked_at_ms bigint not null,
  delivered_at_ms bigint,
  gaps integer not null default 0,
  failures integer not null default 0,
  failing_since_ms bigint,
  last_error text
);
create unique index registration_by_space on registration (space, service);
create index registration_due on registration (look_at_ms)
  where paused_at_ms is null and (wanted_rev > delivered_rev or ended_at_ms is not null);
create index registration_unproved on registration (host) where proved_at_ms is null;
create index registration_proved on registration (host) where proved_at_ms is not null;

-- By whose access a registration lives: as long as one of them may read. An app that proved nothing is ''.
create table registration_sponsor (
  registration bigint not null references registration (id) on delete cascade,
  did text collate "C" not null,
  client_id text collate "C" not null,
  since_ms bigint not null,
  primary key (registration, did, client_id)
);
create index registration_sponsor_by_person on registration_sponsor (did);

-- Spaces that ended, until everybody who asked has been put down to be told, and what was in them is cleared away. Until then nobody makes a
-- new space of that name.
create table space_end (
  space text collate "C" primary key references space (uri),
  community text collate "C" not null references community_revision (community),
  ended_at_ms bigint not null,
  told boolean not null default false
);
insert into space_end (space, community, ended_at_ms, told) select uri, community, 0, true from space where state = 'deleted';
