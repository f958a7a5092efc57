-- The roll: communities, their spaces, who stands on which roster, and what was decided. Identifiers compare byte by byte
-- (COLLATE "C"), so that no locale can make two of them equal. Times are milliseconds since 1970, given by the program's clock.

-- Two numbers per community: `revision` rises with every change of governance, `graph_revision` when an edge between spaces or
-- a role changes. Whoever decides on a community's facts holds this row while the decision is written down.
create table community_revision (
  community text collate "C" primary key,
  revision bigint not null default 0 check (revision >= 0),
  graph_revision bigint not null default 0 check (graph_revision >= 0)
);

create table space (
  uri text collate "C" primary key,
  community text collate "C" not null references community_revision (community),
  space_type text collate "C" not null,
  skey text collate "C" not null,
  state text not null check (state in ('live', 'deleted')),
  created_by text collate "C" not null,
  created_at_ms bigint not null,
  unique (community, space_type, skey)
);

-- A person on a roster: one entry per person and space.
create table person_edge (
  into_space text collate "C" not null references space (uri),
  did text collate "C" not null,
  community text collate "C" not null references community_revision (community),
  role text collate "C" not null,
  since_ms bigint,
  until_ms bigint,
  added_by text collate "C" not null,
  added_at_ms bigint not null,
  primary key (into_space, did),
  check (since_ms is null or until_ms is null or since_ms < until_ms)
);
create index person_edge_by_person on person_edge (did, community);

-- A space on another space's roster: its people come through when they have `holding` there (null: any standing).
create table space_edge (
  into_space text collate "C" not null references space (uri),
  from_space text collate "C" not null references space (uri),
  role text collate "C" not null,
  community text collate "C" not null references community_revision (community),
  holding text collate "C",
  since_ms bigint,
  until_ms bigint,
  is_system boolean not null,
  added_by text collate "C" not null,
  added_at_ms bigint not null,
  primary key (into_space, from_space, role),
  check (into_space <> from_space),
  check (since_ms is null or until_ms is null or since_ms < until_ms)
);
create index space_edge_by_community on space_edge (community);

create table space_settings (
  uri text collate "C" primary key references space (uri),
  name text,
  read_policy text not null check (read_policy in ('public', 'memberList')),
  write_policy text not null check (write_policy in ('public', 'memberList'))
);

-- A community and the walk by which it was founded. `step` says what is known to be done; `operation` is the signed genesis,
-- stored before it leaves the house, so that the same bytes are sent however often the walk is resumed.
create table community (
  did text collate "C" primary key,
  name text not null,
  handle text collate "C" unique,
  custody text not null check (custody in ('memberHeld', 'custodial')),
  recovery_key text collate "C",
  founder text collate "C" not null,
  step text not null check (step in ('prepared', 'submitted', 'confirmed', 'opened', 'refused')),
  fault text,
  operation jsonb not null,
  operation_cid text collate "C" not null,
  idempotency_key text collate "C",
  request_hash bytea not null,
  created_at_ms bigint not null,
  unique (founder, idempotency_key),
  check ((custody = 'memberHeld') = (recovery_key is not null))
);
create index community_unfinished on community (created_at_ms) where step in ('prepared', 'submitted', 'confirmed');

-- What was decided, by whom and why. A row is appended once; the only change it ever sees is being given its place in the
-- chain. `seq`, `hash` and `prev` are null until then.
create table audit_entry (
  id bigint generated always as identity primary key,
  community text collate "C" not null,
  at_ms bigint not null,
  actor text collate "C" not null,
  action text collate "C" not null,
  target text collate "C" not null,
  subject text collate "C",
  because jsonb not null,
  seq bigint check (seq >= 1),
  hash bytea check (octet_length(hash) = 32),
  prev bytea check (octet_length(prev) = 32),
  unique (community, seq),
  check ((seq is null) = (hash is null) and (seq is null) = (prev is null))
);
create index audit_entry_by_community on audit_entry (community, id desc);
create index audit_entry_unsealed on audit_entry (community, id) where seq is null;

create table audit_head (
  community text collate "C" primary key,
  seq bigint not null,
  hash bytea not null check (octet_length(hash) = 32)
);

create function audit_entry_is_append_only() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and old.seq is null
     and (new.id, new.community, new.at_ms, new.actor, new.action, new.target, new.subject, new.because)
         is not distinct from (old.id, old.community, old.at_ms, old.actor, old.action, old.target, old.subject, old.because)
  then
    return new;
  end if;
  raise exception 'audit entries are appended, never changed';
end $$;
create trigger audit_entry_append_only before update or delete on audit_entry
  for each row execute function audit_entry_is_append_only();

create function audit_entry_is_not_emptied() returns trigger language plpgsql as $$
begin
  raise exception 'audit entries are appended, never changed';
end $$;
create trigger audit_entry_not_emptied before truncate on audit_entry
  for each statement execute function audit_entry_is_not_emptied();

-- Every credential that was issued, written before it was signed. It names the person, which the credential does not.
create table issuance (
  jti text collate "C" primary key,
  space text collate "C" not null,
  community text collate "C" not null,
  did text collate "C" not null,
  client_id text collate "C",
  holder text collate "C" not null,
  issued_at_sec bigint not null,
  expires_at_sec bigint not null,
  revision bigint not null
);
create index issuance_by_person on issuance (space, did);
create index issuance_by_expiry on issuance (expires_at_sec);
