-- The tables of Immich that a dump must have, some of its rows, and rows that are hard to write down.
create table "user" (id uuid primary key, name text not null, email text not null unique);
create table album (id uuid primary key, "ownerId" uuid not null references "user", "albumName" text not null);
create table asset (id uuid primary key, "ownerId" uuid not null references "user", "originalPath" text not null, checksum bytea not null);
create table asset_exif ("assetId" uuid primary key references asset on delete cascade, latitude float8, description text not null default '');
create table system_metadata (key varchar primary key, value jsonb not null);
create table version_history (id uuid primary key, "createdAt" timestamptz not null, version varchar not null);
create table hard (id int primary key, words text, raw bytea, numbers float8[], doc jsonb, at timestamptz);
create sequence counter start 41;

insert into "user" values ('00000000-0000-4000-8000-000000000001', 'Zoë', 'zoe@example.com');
insert into album values ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000001', 'Été 2026 🏖');
insert into asset select md5('asset' || n)::uuid, '00000000-0000-4000-8000-000000000001', '/data/library/' || n || '.jpg', sha256(n::text::bytea)
  from generate_series(1, 2000) n;
insert into asset_exif select id, sin(ascii("originalPath")), '写真 ' || "originalPath" from asset;
insert into system_metadata values ('versions', '{"a": [1, null, "\\\"\u00e9"]}');
insert into version_history values ('00000000-0000-4000-8000-000000000003', '2026-01-01', '3.2.3'),
  ('00000000-0000-4000-8000-000000000004', '2026-11-01', '3.2.4');
insert into hard values
  (1, E'tab\t line\n\\.\nCOPY public.hard (id) FROM stdin;\r back\\slash', '\x00ff5c2e0a', '{NaN,Infinity,-0,1e-300}', 'null', 'infinity'),
  (2, '', '', '{}', '[]', '2026-03-29 02:30:00+01'),
  (3, null, null, null, null, null),
  (4, E'\n-- PostgreSQL database dump complete\n', null, null, null, null),
  (5, repeat('大きい📷', 400000), decode(repeat(md5('x'), 60000), 'hex'), null, null, null);
insert into hard (id, words) select n, repeat(md5(n::text), n % 50) from generate_series(6, 3000) n;
select nextval('counter');
