-- That this database was found to lack what a checkpoint of it had seen. Noted by the process that found it, so that all others hear of it, also one on
-- a machine whose folder of checkpoints is empty; it goes when an operator accepts the database as it is.
create table from_past (
  one boolean primary key default true check (one),
  found_at_ms bigint not null
);
-- What had been seen of each chain that isn't as it was, and when.
create table from_past_seen (
  community text primary key,
  seq bigint not null check (seq > 0),
  hash bytea not null check (length(hash) = 32),
  seen_at_ms bigint not null
);
