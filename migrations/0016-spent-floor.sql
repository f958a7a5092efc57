-- Up to where claims may have been forgotten, in seconds since 1970: no token whose claim would have ended by then is taken any more. Else
-- a clock that is set back would make every token good again whose use was forgotten rightly, by the clock as it was.
create table spent_floor (
  one boolean primary key default true check (one),
  forgotten_until_sec bigint not null
);
insert into spent_floor (forgotten_until_sec) values (0);
