-- The keys that Reeve holds for communities, sealed, and the data-encryption keys (DEKs) they are sealed under, wrapped. Nothing
-- in these tables opens without the operator's key-encryption key, which is never in the database. Identifiers compare byte by
-- byte (COLLATE "C"). Times are milliseconds since 1970, given by the program's clock.

-- One DEK per community and version. Another KEK means wrapping these rows again and touches no sealed key.
create table dek (
  community text collate "C" not null,
  version integer not null check (version > 0),
  wrapped bytea not null,
  kek_id text collate "C" not null,
  created_at_ms bigint not null,
  primary key (community, version)
);
create index dek_by_kek on dek (kek_id);

-- A key's public half, its state, and its sealed private half. `sealed` names its DEK version inside as well; both must agree.
-- A destroyed key keeps its row, so that what it once signed can still be explained, and loses its envelope.
create table key (
  id text collate "C" primary key,
  community text collate "C" not null,
  purpose text not null check (purpose in ('rotation', 'space', 'atproto')),
  did_key text collate "C" not null,
  state text not null check (state in ('pending', 'active', 'retiring', 'retired', 'destroyed')),
  dek_version integer,
  sealed bytea,
  created_at_ms bigint not null,
  state_since_ms bigint not null,
  foreign key (community, dek_version) references dek (community, version),
  check ((state = 'destroyed') = (sealed is null)),
  check ((sealed is null) = (dek_version is null))
);
create index key_by_community on key (community);
-- Two processes that both activate a key would sign with different ones: the second is stopped here.
create unique index key_one_active on key (community, purpose) where state = 'active';
