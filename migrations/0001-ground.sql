-- The ground: what Reeve must remember whatever it does. Times are seconds or milliseconds since 1970, as each name says,
-- given by the program's clock.

-- Who this instance is. One row; the id is random and stands in the context of everything that is sealed here, so that a
-- sealed key copied into another instance's database does not open there.
create table instance (
  single boolean primary key default true check (single),
  id text collate "C" not null check (length(id) = 32),
  created_at_ms bigint not null
);

-- Single use: what stands here was spent. The id is a hash of kind, holder and jti; the row stays for as long as the token
-- could still be accepted, and a while longer.
create table spent (
  id bytea primary key check (octet_length(id) = 32),
  keep_until_sec bigint not null
);
create index spent_by_age on spent (keep_until_sec);

-- Procedures that were called with an idempotency key, and what they answered. The row is written before the effect, in its
-- transaction, so that a second call with the same key waits for the first instead of doing it again.
create table idempotency (
  actor text collate "C" not null,
  method text collate "C" not null,
  key text collate "C" not null check (length(key) between 1 and 128),
  request_hash bytea not null check (octet_length(request_hash) = 32),
  answer text,
  keep_until_ms bigint not null,
  primary key (actor, method, key)
);
create index idempotency_by_age on idempotency (keep_until_ms);
