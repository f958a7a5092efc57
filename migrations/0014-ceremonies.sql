-- Keys of communities that live in shares, the ceremonies in which keepers act together, and what each of them did. No share is here but sealed,
-- for whoever combines; times are milliseconds since 1970, given by the program's clock.

-- A key in shares, which this service never has (but for a moment, where its keepers chose that). `seats`: who keeps which share, with the keys
-- that they had enrolled then. `dealt`: made, not acknowledged by all; `acknowledged`: everybody has a share that is right; `drilled`: k of them
-- have shown that they can act; `active`: in the identity; `retired`: replaced there; `dropped`: never came that far. `strict`: in force, and no key
-- of this service stands beside it. A flag `combined_here` is never taken back.
create table quorum_key (
  id text collate "C" primary key,
  community text collate "C" not null references community (did),
  did_key text collate "C" not null unique,
  generation integer not null check (generation > 0),
  n integer not null check (n between 2 and 16),
  k integer not null check (k between 2 and n),
  seats jsonb not null,
  dealt_by text collate "C" not null,
  wants_strict boolean not null,
  strict boolean not null default false,
  combined_here boolean not null default false,
  state text not null check (state in ('dealt', 'acknowledged', 'drilled', 'active', 'retired', 'dropped')),
  drilled_at_ms bigint,
  state_since_ms bigint not null,
  created_at_ms bigint not null
);
create unique index quorum_key_one_active on quorum_key (community) where state = 'active';
create unique index quorum_key_one_coming on quorum_key (community) where state in ('dealt', 'acknowledged', 'drilled');
create index quorum_key_of_community on quorum_key (community, created_at_ms);

-- A ceremony: `statement` is what it says, signed by the community's key. `slot`: which others it excludes while it is open. `sealing`: the key
-- that opens the shares, where this service combines; it is gone with the end. `signed`: what came out of it, public in any case.
create table ceremony (
  id text collate "C" primary key,
  community text collate "C" not null references community (did),
  slot text collate "C" not null,
  kind text not null check (kind in ('split', 'drill', 'combine', 'ownership')),
  quorum_key text collate "C" references quorum_key (id),
  state text not null check (state in ('proposed', 'approved', 'collecting', 'ready', 'done', 'cancelled', 'expired', 'failed')),
  fault text,
  statement bytea not null,
  statement_hash text collate "C" not null unique,
  sig text not null,
  wish jsonb,
  transcript jsonb,
  sealing bytea,
  sealing_dek integer,
  signed text,
  created_by text collate "C" not null,
  created_at_ms bigint not null,
  expires_at_ms bigint not null,
  ended_at_ms bigint,
  check ((sealing is null) = (sealing_dek is null)),
  check (state not in ('done', 'cancelled', 'expired', 'failed') or sealing is null)
);
create unique index ceremony_one_open on ceremony (community, slot) where state in ('proposed', 'approved', 'collecting', 'ready');
create index ceremony_open on ceremony (expires_at_ms) where state in ('proposed', 'approved', 'collecting', 'ready');
create index ceremony_of_community on ceremony (community, created_at_ms);

-- What people did in a ceremony, each by their own key, each act once: what they gave with it is `given` (a packet for one keeper, a sealed
-- share), until the ceremony is over.
create table ceremony_act (
  ceremony text collate "C" not null references ceremony (id),
  did text collate "C" not null,
  act text not null check (act in ('approve', 'reject', 'deal', 'acknowledge', 'submit', 'conclude', 'cancel')),
  subject text collate "C",
  at text collate "C" not null,
  sig text not null,
  given text,
  made_at_ms bigint not null,
  primary key (ceremony, did, act)
);

-- The packets of a split, sealed to one keeper each, until that one has said that theirs is right.
create table share_packet (
  ceremony text collate "C" not null references ceremony (id),
  did text collate "C" not null,
  sealed bytea not null,
  primary key (ceremony, did)
);

-- Whoever gave wrong shares in ceremonies of this service three times does nothing more in any, until an owner lifts it.
alter table keeper add column bad_shares integer not null default 0;
-- Hashes of those, so that the same one counts once, however often it comes.
alter table keeper add column bad_given text[] not null default '{}';
alter table keeper add column suspended_at_ms bigint;

-- Attempts to combine a key here, of which there are five an hour.
create table combine_attempt (
  quorum_key text collate "C" not null references quorum_key (id),
  at_ms bigint not null
);
create index combine_attempt_by_key on combine_attempt (quorum_key, at_ms);

-- Who is to own a community, said by a key that stands above ours in its identity, for when those who owned it are lost. Whoever owns it now can
-- object until its day; then it takes the same key a second time.
create table ownership_claim (
  id text collate "C" primary key,
  community text collate "C" not null references community (did),
  owners text[] not null,
  signed_by text collate "C" not null,
  said_at text collate "C" not null,
  state text not null check (state in ('waiting', 'objected', 'done', 'refused')),
  fault text,
  objected_by text collate "C",
  objected_at_ms bigint,
  made_at_ms bigint not null,
  due_at_ms bigint not null,
  ended_at_ms bigint
);
create unique index ownership_claim_one_open on ownership_claim (community) where state in ('waiting', 'objected');
create index ownership_claim_due on ownership_claim (due_at_ms) where state = 'waiting';

-- What its founder asked for, until the first ceremony has ended: custody is this service's alone, or beside a key of a member's, until then.
alter table community add column wanted_custody text check (wanted_custody in ('quorum', 'quorumStrict'));

-- A key in shares that comes into the identity for the first time, by this service's own key: which, and whether ours leaves with that.
alter table key_rotation add column quorum jsonb;
