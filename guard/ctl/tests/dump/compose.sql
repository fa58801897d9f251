--
-- PostgreSQL database cluster dump
--

\restrict PtTcuyFj60rxdf5Y9WIKoxreWcZgrg7jHxb4tVxjqwNIQuChS4iJbiguYfecDln

SET default_transaction_read_only = off;

SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;

--
-- Drop databases (except postgres and template1)
--

DROP DATABASE IF EXISTS immich;




--
-- Drop roles
--

DROP ROLE IF EXISTS postgres;


--
-- Roles
--

CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER INHERIT CREATEROLE CREATEDB LOGIN REPLICATION BYPASSRLS;

--
-- User Configurations
--






\unrestrict PtTcuyFj60rxdf5Y9WIKoxreWcZgrg7jHxb4tVxjqwNIQuChS4iJbiguYfecDln

--
-- Databases
--

--
-- Database "template1" dump
--

--
-- PostgreSQL database dump
--

\restrict UuwLSp6Gwc7fEO2KRqhAsqP0lxdYqDhVCzgYgLRSPCEwsEmRKsGBjjQRKyogWui

-- Dumped from database version 14.23
-- Dumped by pg_dump version 18.6

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

UPDATE pg_catalog.pg_database SET datistemplate = false WHERE datname = 'template1';
DROP DATABASE template1;
--
-- Name: template1; Type: DATABASE; Schema: -; Owner: postgres
--

CREATE DATABASE template1 WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C';


ALTER DATABASE template1 OWNER TO postgres;

\unrestrict UuwLSp6Gwc7fEO2KRqhAsqP0lxdYqDhVCzgYgLRSPCEwsEmRKsGBjjQRKyogWui
\connect template1
\restrict UuwLSp6Gwc7fEO2KRqhAsqP0lxdYqDhVCzgYgLRSPCEwsEmRKsGBjjQRKyogWui

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: DATABASE template1; Type: COMMENT; Schema: -; Owner: postgres
--

COMMENT ON DATABASE template1 IS 'default template for new databases';


--
-- Name: template1; Type: DATABASE PROPERTIES; Schema: -; Owner: postgres
--

ALTER DATABASE template1 IS_TEMPLATE = true;


\unrestrict UuwLSp6Gwc7fEO2KRqhAsqP0lxdYqDhVCzgYgLRSPCEwsEmRKsGBjjQRKyogWui
\connect template1
\restrict UuwLSp6Gwc7fEO2KRqhAsqP0lxdYqDhVCzgYgLRSPCEwsEmRKsGBjjQRKyogWui

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: public; Type: SCHEMA; Schema: -; Owner: postgres
--

-- *not* creating schema, since initdb creates it


ALTER SCHEMA public OWNER TO postgres;

--
-- Name: DATABASE template1; Type: ACL; Schema: -; Owner: postgres
--

REVOKE CONNECT,TEMPORARY ON DATABASE template1 FROM PUBLIC;
GRANT CONNECT ON DATABASE template1 TO PUBLIC;


--
-- Name: SCHEMA public; Type: ACL; Schema: -; Owner: postgres
--

REVOKE USAGE ON SCHEMA public FROM PUBLIC;
GRANT ALL ON SCHEMA public TO PUBLIC;


--
-- PostgreSQL database dump complete
--

\unrestrict UuwLSp6Gwc7fEO2KRqhAsqP0lxdYqDhVCzgYgLRSPCEwsEmRKsGBjjQRKyogWui

--
-- Database "immich" dump
--

--
-- PostgreSQL database dump
--

\restrict Hi4nNa3RJHYaUBaZtbpXCk8FFKVshVW0fX8huUsfT0EphPStCapTrYKc182wLsc

-- Dumped from database version 14.23
-- Dumped by pg_dump version 18.6

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: immich; Type: DATABASE; Schema: -; Owner: postgres
--

CREATE DATABASE immich WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C';


ALTER DATABASE immich OWNER TO postgres;

\unrestrict Hi4nNa3RJHYaUBaZtbpXCk8FFKVshVW0fX8huUsfT0EphPStCapTrYKc182wLsc
\connect immich
\restrict Hi4nNa3RJHYaUBaZtbpXCk8FFKVshVW0fX8huUsfT0EphPStCapTrYKc182wLsc

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: public; Type: SCHEMA; Schema: -; Owner: postgres
--

-- *not* creating schema, since initdb creates it


ALTER SCHEMA public OWNER TO postgres;

--
-- Name: cube; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS cube WITH SCHEMA public;


--
-- Name: EXTENSION cube; Type: COMMENT; Schema: -; Owner: 
--

COMMENT ON EXTENSION cube IS 'data type for multidimensional cubes';


--
-- Name: earthdistance; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS earthdistance WITH SCHEMA public;


--
-- Name: EXTENSION earthdistance; Type: COMMENT; Schema: -; Owner: 
--

COMMENT ON EXTENSION earthdistance IS 'calculate great-circle distances on the surface of the Earth';


--
-- Name: pg_trgm; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;


--
-- Name: EXTENSION pg_trgm; Type: COMMENT; Schema: -; Owner: 
--

COMMENT ON EXTENSION pg_trgm IS 'text similarity measurement and index searching based on trigrams';


--
-- Name: unaccent; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS unaccent WITH SCHEMA public;


--
-- Name: EXTENSION unaccent; Type: COMMENT; Schema: -; Owner: 
--

COMMENT ON EXTENSION unaccent IS 'text search dictionary that removes accents';


--
-- Name: asset_delete_audit(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.asset_delete_audit() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
  INSERT INTO asset_audit SELECT coalesce(max(id), 0) + 1, old.id FROM asset_audit;
  RETURN NULL;
end;
$$;


ALTER FUNCTION public.asset_delete_audit() OWNER TO postgres;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: album; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.album (
    id uuid NOT NULL,
    "ownerId" uuid NOT NULL,
    "albumName" text NOT NULL
);


ALTER TABLE public.album OWNER TO postgres;

--
-- Name: album_asset; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.album_asset (
    "albumId" uuid NOT NULL,
    "assetId" uuid NOT NULL
);


ALTER TABLE public.album_asset OWNER TO postgres;

--
-- Name: asset; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.asset (
    id uuid NOT NULL,
    "ownerId" uuid NOT NULL,
    "originalPath" text NOT NULL,
    checksum bytea NOT NULL,
    "isExternal" boolean DEFAULT false NOT NULL
);


ALTER TABLE public.asset OWNER TO postgres;

--
-- Name: asset_audit; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.asset_audit (
    id integer NOT NULL,
    "assetId" uuid NOT NULL
);


ALTER TABLE public.asset_audit OWNER TO postgres;

--
-- Name: asset_exif; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.asset_exif (
    "assetId" uuid NOT NULL,
    latitude double precision,
    longitude double precision,
    description text DEFAULT ''::text NOT NULL
);


ALTER TABLE public.asset_exif OWNER TO postgres;

--
-- Name: geodata_places; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.geodata_places (
    id integer NOT NULL,
    name character varying(200) NOT NULL,
    longitude double precision NOT NULL,
    latitude double precision NOT NULL
);


ALTER TABLE public.geodata_places OWNER TO postgres;

--
-- Name: system_metadata; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.system_metadata (
    key character varying NOT NULL,
    value jsonb NOT NULL
);


ALTER TABLE public.system_metadata OWNER TO postgres;

--
-- Name: user; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public."user" (
    id uuid NOT NULL,
    name text NOT NULL,
    email text NOT NULL,
    "createdAt" timestamp with time zone DEFAULT now() NOT NULL
);


ALTER TABLE public."user" OWNER TO postgres;

--
-- Name: version_history; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.version_history (
    id uuid NOT NULL,
    "createdAt" timestamp with time zone NOT NULL,
    version character varying NOT NULL
);


ALTER TABLE public.version_history OWNER TO postgres;

--
-- Data for Name: album; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.album (id, "ownerId", "albumName") FROM stdin;
d2ae72a2-c267-211f-dc46-e02a639e6888	24c9e15e-52af-c47c-225b-757e7bee1f9d	Été 2021 🏖
f8d7bd28-b526-864c-f358-256ca7b041c6	24c9e15e-52af-c47c-225b-757e7bee1f9d	Été 2022 🏖
\.


--
-- Data for Name: album_asset; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.album_asset ("albumId", "assetId") FROM stdin;
f8d7bd28-b526-864c-f358-256ca7b041c6	4d86a76b-3a56-d9eb-0dec-5dbbb2c02348
d2ae72a2-c267-211f-dc46-e02a639e6888	d3a464c7-57ea-24b7-a1b8-864574422de2
f8d7bd28-b526-864c-f358-256ca7b041c6	a43b997f-0fcf-9516-6ba4-e0d46e5b7543
d2ae72a2-c267-211f-dc46-e02a639e6888	f1b487e5-5352-0284-bda1-cafcce23c871
f8d7bd28-b526-864c-f358-256ca7b041c6	5e94c063-c489-c43a-d597-f5f3b44f4c57
d2ae72a2-c267-211f-dc46-e02a639e6888	b0e303f3-af78-2ce5-ab02-221a240b757c
f8d7bd28-b526-864c-f358-256ca7b041c6	dc4235d7-588a-7e8a-edc0-64fea1951112
d2ae72a2-c267-211f-dc46-e02a639e6888	9d285b26-f94e-47ec-c446-8c1761a32afa
f8d7bd28-b526-864c-f358-256ca7b041c6	b5c70cf9-4572-096d-ae8f-ce4013ecec71
d2ae72a2-c267-211f-dc46-e02a639e6888	64e53714-d315-ff26-2f49-509ec359ed96
f8d7bd28-b526-864c-f358-256ca7b041c6	50ad3b99-9ee8-4bab-7906-424ecfbd6848
d2ae72a2-c267-211f-dc46-e02a639e6888	f9fbeb92-6819-e280-8829-a9d10bc69ee3
f8d7bd28-b526-864c-f358-256ca7b041c6	b9aafce4-175b-1c92-439a-bfd50ad5e5bc
d2ae72a2-c267-211f-dc46-e02a639e6888	676f43f1-bda0-b781-b34b-a7e9bc17bec0
f8d7bd28-b526-864c-f358-256ca7b041c6	20157157-900a-d45c-2e5c-3b54b3bd3e06
d2ae72a2-c267-211f-dc46-e02a639e6888	5ac8b5b1-722f-9e9c-cd26-8e5361048fdc
f8d7bd28-b526-864c-f358-256ca7b041c6	58603842-d435-2ac1-8fe0-272e923b9dcd
d2ae72a2-c267-211f-dc46-e02a639e6888	6322e68b-ea43-896c-6c40-e342ec5286a9
f8d7bd28-b526-864c-f358-256ca7b041c6	bfa94846-40d5-e461-f662-fe1c2c3e4f2b
d2ae72a2-c267-211f-dc46-e02a639e6888	99236d06-328a-5a7b-3b64-dab41f44bed0
f8d7bd28-b526-864c-f358-256ca7b041c6	ef14bdf0-9dd0-6b11-1b04-c4e902bcebd7
d2ae72a2-c267-211f-dc46-e02a639e6888	6502c446-3511-2210-6e29-bb7a03ec71f5
f8d7bd28-b526-864c-f358-256ca7b041c6	bccdaf98-eb6b-e01f-4adf-d0ab0cde8e40
d2ae72a2-c267-211f-dc46-e02a639e6888	736b115c-302e-096d-3373-28d426454dd7
\.


--
-- Data for Name: asset; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.asset (id, "ownerId", "originalPath", checksum, "isExternal") FROM stdin;
4d86a76b-3a56-d9eb-0dec-5dbbb2c02348	7e58d63b-6019-7ceb-55a1-c487989a3720	/usr/src/app/upload/library/u2/2025/1.jpg	\\x6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b	f
d3a464c7-57ea-24b7-a1b8-864574422de2	92877af7-0a45-fd6a-2ed7-fe81e1236b78	/usr/src/app/upload/library/u3/2025/2.jpg	\\xd4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35	f
a43b997f-0fcf-9516-6ba4-e0d46e5b7543	24c9e15e-52af-c47c-225b-757e7bee1f9d	/usr/src/app/upload/library/u1/2025/3.jpg	\\x4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce	f
f1b487e5-5352-0284-bda1-cafcce23c871	7e58d63b-6019-7ceb-55a1-c487989a3720	/usr/src/app/upload/library/u2/2025/4.jpg	\\x4b227777d4dd1fc61c6f884f48641d02b4d121d3fd328cb08b5531fcacdabf8a	f
5e94c063-c489-c43a-d597-f5f3b44f4c57	92877af7-0a45-fd6a-2ed7-fe81e1236b78	/usr/src/app/upload/library/u3/2025/5.jpg	\\xef2d127de37b942baad06145e54b0c619a1f22327b2ebbcfbec78f5564afe39d	f
b0e303f3-af78-2ce5-ab02-221a240b757c	24c9e15e-52af-c47c-225b-757e7bee1f9d	/usr/src/app/upload/library/u1/2025/6.jpg	\\xe7f6c011776e8db7cd330b54174fd76f7d0216b612387a5ffcfb81e6f0919683	f
dc4235d7-588a-7e8a-edc0-64fea1951112	7e58d63b-6019-7ceb-55a1-c487989a3720	/usr/src/app/upload/library/u2/2025/7.jpg	\\x7902699be42c8a8e46fbbb4501726517e86b22c56a189f7625a6da49081b2451	f
9d285b26-f94e-47ec-c446-8c1761a32afa	92877af7-0a45-fd6a-2ed7-fe81e1236b78	/usr/src/app/upload/library/u3/2025/8.jpg	\\x2c624232cdd221771294dfbb310aca000a0df6ac8b66b696d90ef06fdefb64a3	f
b5c70cf9-4572-096d-ae8f-ce4013ecec71	24c9e15e-52af-c47c-225b-757e7bee1f9d	/usr/src/app/upload/library/u1/2025/9.jpg	\\x19581e27de7ced00ff1ce50b2047e7a567c76b1cbaebabe5ef03f7c3017bb5b7	f
64e53714-d315-ff26-2f49-509ec359ed96	7e58d63b-6019-7ceb-55a1-c487989a3720	/mnt/old-photos/10.jpg	\\x4a44dc15364204a80fe80e9039455cc1608281820fe2b24f1e5233ade6af1dd5	t
50ad3b99-9ee8-4bab-7906-424ecfbd6848	92877af7-0a45-fd6a-2ed7-fe81e1236b78	/usr/src/app/upload/library/u3/2025/11.jpg	\\x4fc82b26aecb47d2868c4efbe3581732a3e7cbcc6c2efb32062c08170a05eeb8	f
f9fbeb92-6819-e280-8829-a9d10bc69ee3	24c9e15e-52af-c47c-225b-757e7bee1f9d	/usr/src/app/upload/library/u1/2025/12.jpg	\\x6b51d431df5d7f141cbececcf79edf3dd861c3b4069f0b11661a3eefacbba918	f
b9aafce4-175b-1c92-439a-bfd50ad5e5bc	7e58d63b-6019-7ceb-55a1-c487989a3720	/usr/src/app/upload/library/u2/2025/13.jpg	\\x3fdba35f04dc8c462986c992bcf875546257113072a909c162f7e470e581e278	f
676f43f1-bda0-b781-b34b-a7e9bc17bec0	92877af7-0a45-fd6a-2ed7-fe81e1236b78	/usr/src/app/upload/library/u3/2025/14.jpg	\\x8527a891e224136950ff32ca212b45bc93f69fbb801c3b1ebedac52775f99e61	f
20157157-900a-d45c-2e5c-3b54b3bd3e06	24c9e15e-52af-c47c-225b-757e7bee1f9d	/usr/src/app/upload/library/u1/2025/15.jpg	\\xe629fa6598d732768f7c726b4b621285f9c3b85303900aa912017db7617d8bdb	f
5ac8b5b1-722f-9e9c-cd26-8e5361048fdc	7e58d63b-6019-7ceb-55a1-c487989a3720	/usr/src/app/upload/library/u2/2025/16.jpg	\\xb17ef6d19c7a5b1ee83b907c595526dcb1eb06db8227d650d5dda0a9f4ce8cd9	f
58603842-d435-2ac1-8fe0-272e923b9dcd	92877af7-0a45-fd6a-2ed7-fe81e1236b78	/usr/src/app/upload/library/u3/2025/17.jpg	\\x4523540f1504cd17100c4835e85b7eefd49911580f8efff0599a8f283be6b9e3	f
6322e68b-ea43-896c-6c40-e342ec5286a9	24c9e15e-52af-c47c-225b-757e7bee1f9d	/usr/src/app/upload/library/u1/2025/18.jpg	\\x4ec9599fc203d176a301536c2e091a19bc852759b255bd6818810a42c5fed14a	f
bfa94846-40d5-e461-f662-fe1c2c3e4f2b	7e58d63b-6019-7ceb-55a1-c487989a3720	/usr/src/app/upload/library/u2/2025/19.jpg	\\x9400f1b21cb527d7fa3d3eabba93557a18ebe7a2ca4e471cfe5e4c5b4ca7f767	f
99236d06-328a-5a7b-3b64-dab41f44bed0	92877af7-0a45-fd6a-2ed7-fe81e1236b78	/mnt/old-photos/20.jpg	\\xf5ca38f748a1d6eaf726b8a42fb575c3c71f1864a8143301782de13da2d9202b	t
ef14bdf0-9dd0-6b11-1b04-c4e902bcebd7	24c9e15e-52af-c47c-225b-757e7bee1f9d	/usr/src/app/upload/library/u1/2025/21.jpg	\\x6f4b6612125fb3a0daecd2799dfd6c9c299424fd920f9b308110a2c1fbd8f443	f
6502c446-3511-2210-6e29-bb7a03ec71f5	7e58d63b-6019-7ceb-55a1-c487989a3720	/usr/src/app/upload/library/u2/2025/22.jpg	\\x785f3ec7eb32f30b90cd0fcf3657d388b5ff4297f2f9716ff66e9b69c05ddd09	f
bccdaf98-eb6b-e01f-4adf-d0ab0cde8e40	92877af7-0a45-fd6a-2ed7-fe81e1236b78	/usr/src/app/upload/library/u3/2025/23.jpg	\\x535fa30d7e25dd8a49f1536779734ec8286108d115da5045d77f3b4185d8f790	f
736b115c-302e-096d-3373-28d426454dd7	24c9e15e-52af-c47c-225b-757e7bee1f9d	/usr/src/app/upload/library/u1/2025/24.jpg	\\xc2356069e9d1e79ca924378153cfbbfb4d4416b1f99d41a2940bfdb66c5319db	f
7271785f-1280-1134-f2d3-3b0b33311c0d	7e58d63b-6019-7ceb-55a1-c487989a3720	/usr/src/app/upload/library/u2/2025/25.jpg	\\xb7a56873cd771f2c446d369b649430b65a756ba278ff97ec81bb6f55b2e73569	f
343d006e-4fb2-05cc-e6d9-b8cbd65a9073	92877af7-0a45-fd6a-2ed7-fe81e1236b78	/usr/src/app/upload/library/u3/2025/26.jpg	\\x5f9c4ab08cac7457e9111a30e4664920607ea2c115a1433d7be98e97e64244ca	f
33f45697-1e28-bc33-8daf-530bf4a0b93d	24c9e15e-52af-c47c-225b-757e7bee1f9d	/usr/src/app/upload/library/u1/2025/27.jpg	\\x670671cd97404156226e507973f2ab8330d3022ca96e0c93bdbdb320c41adcaf	f
9f764250-dd3e-86bb-6ff2-28eba96cc68e	7e58d63b-6019-7ceb-55a1-c487989a3720	/usr/src/app/upload/library/u2/2025/28.jpg	\\x59e19706d51d39f66711c2653cd7eb1291c94d9b55eb14bda74ce4dc636d015a	f
ff63a236-cac9-293f-a687-a3c725c5cf74	92877af7-0a45-fd6a-2ed7-fe81e1236b78	/usr/src/app/upload/library/u3/2025/29.jpg	\\x35135aaa6cc23891b40cb3f378c53a17a1127210ce60e125ccf03efcfdaec458	f
14179044-c121-0f9f-201a-5032292642c7	24c9e15e-52af-c47c-225b-757e7bee1f9d	/mnt/old-photos/30.jpg	\\x624b60c58c9d8bfb6ff1886c2fd605d2adeb6ea4da576068201b6c6958ce93f4	t
54397e74-8e6c-a43a-302e-7f95e2b822ef	7e58d63b-6019-7ceb-55a1-c487989a3720	/usr/src/app/upload/library/u2/2025/31.jpg	\\xeb1e33e8a81b697b75855af6bfcdbcbf7cbbde9f94962ceaec1ed8af21f5a50f	f
90afb749-ca35-eb85-8357-9989aea53459	92877af7-0a45-fd6a-2ed7-fe81e1236b78	/usr/src/app/upload/library/u3/2025/32.jpg	\\xe29c9c180c6279b0b02abd6a1801c7c04082cf486ec027aa13515e4f3884bb6b	f
7a89e8b9-0ce8-ee44-cef7-5fa2b23cc75e	24c9e15e-52af-c47c-225b-757e7bee1f9d	/usr/src/app/upload/library/u1/2025/33.jpg	\\xc6f3ac57944a531490cd39902d0f777715fd005efac9a30622d5f5205e7f6894	f
e0d6d541-2456-e8dd-eecb-2d916343e6a0	7e58d63b-6019-7ceb-55a1-c487989a3720	/usr/src/app/upload/library/u2/2025/34.jpg	\\x86e50149658661312a9e0b35558d84f6c6d3da797f552a9657fe0558ca40cdef	f
c56bbadc-bb19-39d1-6c2b-7c5b19b754e3	92877af7-0a45-fd6a-2ed7-fe81e1236b78	/usr/src/app/upload/library/u3/2025/35.jpg	\\x9f14025af0065b30e47e23ebb3b491d39ae8ed17d33739e5ff3827ffb3634953	f
6eb8d5bd-4ad5-d7ae-658c-653798ecd45d	24c9e15e-52af-c47c-225b-757e7bee1f9d	/usr/src/app/upload/library/u1/2025/36.jpg	\\x76a50887d8f1c2e9301755428990ad81479ee21c25b43215cf524541e0503269	f
2b5910bd-6196-dbec-4dfa-6072ff54607a	7e58d63b-6019-7ceb-55a1-c487989a3720	/usr/src/app/upload/library/u2/2025/37.jpg	\\x7a61b53701befdae0eeeffaecc73f14e20b537bb0f8b91ad7c2936dc63562b25	f
d2db6382-314c-c06c-47af-ce9922ceac30	92877af7-0a45-fd6a-2ed7-fe81e1236b78	/usr/src/app/upload/library/u3/2025/38.jpg	\\xaea92132c4cbeb263e6ac2bf6c183b5d81737f179f21efdc5863739672f0f470	f
a372eb44-cbe3-85fb-460a-6efca7891788	24c9e15e-52af-c47c-225b-757e7bee1f9d	/usr/src/app/upload/library/u1/2025/39.jpg	\\x0b918943df0962bc7a1824c0555a389347b4febdc7cf9d1254406d80ce44e3f9	f
cdc95355-1c5e-98f9-99aa-8446de57087c	7e58d63b-6019-7ceb-55a1-c487989a3720	/mnt/old-photos/40.jpg	\\xd59eced1ded07f84c145592f65bdf854358e009c5cd705f5215bf18697fed103	t
d7b239fe-e56b-b9da-871c-a8b23d1d879c	92877af7-0a45-fd6a-2ed7-fe81e1236b78	/usr/src/app/upload/library/u3/2025/41.jpg	\\x3d914f9348c9cc0ff8a79716700b9fcd4d2f3e711608004eb8f138bcba7f14d9	f
fa8e8a5f-3244-2734-f0b3-c0b4f1b14da7	24c9e15e-52af-c47c-225b-757e7bee1f9d	/usr/src/app/upload/library/u1/2025/42.jpg	\\x73475cb40a568e8da8a045ced110137e159f890ac4da883b6b17dc651b3a8049	f
e3947ea9-f496-d504-2e80-fcc46174c2cc	7e58d63b-6019-7ceb-55a1-c487989a3720	/usr/src/app/upload/library/u2/2025/43.jpg	\\x44cb730c420480a0477b505ae68af508fb90f96cf0ec54c6ad16949dd427f13a	f
818262a4-21ac-ebd5-5458-2ad7b31c9725	92877af7-0a45-fd6a-2ed7-fe81e1236b78	/usr/src/app/upload/library/u3/2025/44.jpg	\\x71ee45a3c0db9a9865f7313dd3372cf60dca6479d46261f3542eb9346e4a04d6	f
0932d82f-9c97-7a47-6459-2c5cbbaa9630	24c9e15e-52af-c47c-225b-757e7bee1f9d	/usr/src/app/upload/library/u1/2025/45.jpg	\\x811786ad1ae74adfdd20dd0372abaaebc6246e343aebd01da0bfc4c02bf0106c	f
574f773f-ec03-b48a-50a5-ec574676a472	7e58d63b-6019-7ceb-55a1-c487989a3720	/usr/src/app/upload/library/u2/2025/46.jpg	\\x25fc0e7096fc653718202dc30b0c580b8ab87eac11a700cba03a7c021bc35b0c	f
4e9f14c1-d9a3-4a97-7ea8-52a014c8c4c4	92877af7-0a45-fd6a-2ed7-fe81e1236b78	/usr/src/app/upload/library/u3/2025/47.jpg	\\x31489056e0916d59fe3add79e63f095af3ffb81604691f21cad442a85c7be617	f
ba298faa-ed80-9099-4790-850d91569e8d	24c9e15e-52af-c47c-225b-757e7bee1f9d	/usr/src/app/upload/library/u1/2025/48.jpg	\\x98010bd9270f9b100b6214a21754fd33bdc8d41b2bc9f9dd16ff54d3c34ffd71	f
e01b9394-86cf-7218-0304-e9c86716125c	7e58d63b-6019-7ceb-55a1-c487989a3720	/usr/src/app/upload/library/u2/2025/49.jpg	\\x0e17daca5f3e175f448bacace3bc0da47d0655a74c8dd0dc497a3afbdad95f1f	f
7619cd98-c856-105d-7af7-b6cc26f4fb12	92877af7-0a45-fd6a-2ed7-fe81e1236b78	/mnt/old-photos/50.jpg	\\x1a6562590ef19d1045d06c4055742d38288e9e6dcd71ccde5cee80f1d5a774eb	t
e6209f88-df3f-063e-292a-ef0aa1285985	24c9e15e-52af-c47c-225b-757e7bee1f9d	/usr/src/app/upload/library/u1/2025/51.jpg	\\x031b4af5197ec30a926f48cf40e11a7dbc470048a21e4003b7a3c07c5dab1baa	f
2be03257-8e71-0c01-71d4-bdd35ba0c396	7e58d63b-6019-7ceb-55a1-c487989a3720	/usr/src/app/upload/library/u2/2025/52.jpg	\\x41cfc0d1f2d127b04555b7246d84019b4d27710a3f3aff6e7764375b1e06e05d	f
b0cd95ec-9dec-45de-97b9-75722503f77a	92877af7-0a45-fd6a-2ed7-fe81e1236b78	/usr/src/app/upload/library/u3/2025/53.jpg	\\x2858dcd1057d3eae7f7d5f782167e24b61153c01551450a628cee722509f6529	f
b6944137-0bf5-7d71-32ef-89dc44da0fbb	24c9e15e-52af-c47c-225b-757e7bee1f9d	/usr/src/app/upload/library/u1/2025/54.jpg	\\x2fca346db656187102ce806ac732e06a62df0dbb2829e511a770556d398e1a6e	f
e8ab2ea3-5f6c-2c30-41c8-c508fd4d371e	7e58d63b-6019-7ceb-55a1-c487989a3720	/usr/src/app/upload/library/u2/2025/55.jpg	\\x02d20bbd7e394ad5999a4cebabac9619732c343a4cac99470c03e23ba2bdc2bc	f
52cd5ba8-a57e-b7bb-8841-73234ffde3e2	92877af7-0a45-fd6a-2ed7-fe81e1236b78	/usr/src/app/upload/library/u3/2025/56.jpg	\\x7688b6ef52555962d008fff894223582c484517cea7da49ee67800adc7fc8866	f
434baaf0-8148-8ad0-471b-14fa5431a400	24c9e15e-52af-c47c-225b-757e7bee1f9d	/usr/src/app/upload/library/u1/2025/57.jpg	\\xc837649cce43f2729138e72cc315207057ac82599a59be72765a477f22d14a54	f
48b28897-d74a-d597-27d4-6bfb9070f556	7e58d63b-6019-7ceb-55a1-c487989a3720	/usr/src/app/upload/library/u2/2025/58.jpg	\\x6208ef0f7750c111548cf90b6ea1d0d0a66f6bff40dbef07cb45ec436263c7d6	f
91745d9d-4707-2d12-f9c9-00d7ee6e8e8e	92877af7-0a45-fd6a-2ed7-fe81e1236b78	/usr/src/app/upload/library/u3/2025/59.jpg	\\x3e1e967e9b793e908f8eae83c74dba9bcccce6a5535b4b462bd9994537bfe15c	f
5f976d18-678d-df37-9f9e-8c981bf026e5	24c9e15e-52af-c47c-225b-757e7bee1f9d	/mnt/old-photos/60.jpg	\\x39fa9ec190eee7b6f4dff1100d6343e10918d044c75eac8f9e9a2596173f80c9	t
\.


--
-- Data for Name: asset_audit; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.asset_audit (id, "assetId") FROM stdin;
\.


--
-- Data for Name: asset_exif; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.asset_exif ("assetId", latitude, longitude, description) FROM stdin;
4d86a76b-3a56-d9eb-0dec-5dbbb2c02348	-0.9537526527594719	0.3005925437436371	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
d3a464c7-57ea-24b7-a1b8-864574422de2	-0.26237485370392877	0.9649660284921133	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
a43b997f-0fcf-9516-6ba4-e0d46e5b7543	0.6702291758433747	0.7421541968137826	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
f1b487e5-5352-0284-bda1-cafcce23c871	0.9866275920404853	-0.16299078079570548	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
5e94c063-c489-c43a-d597-f5f3b44f4c57	0.39592515018183416	-0.9182827862121189	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
b0e303f3-af78-2ce5-ab02-221a240b757c	-0.5587890488516163	-0.8293098328631502	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
dc4235d7-588a-7e8a-edc0-64fea1951112	-0.9997551733586199	0.022126756261955736	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
9d285b26-f94e-47ec-c446-8c1761a32afa	-0.5215510020869119	0.8532201077225842	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
b5c70cf9-4572-096d-ae8f-ce4013ecec71	0.43616475524782494	0.8998668269691937	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
64e53714-d315-ff26-2f49-509ec359ed96	-0.7682546613236668	-0.6401443394691997	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
50ad3b99-9ee8-4bab-7906-424ecfbd6848	-0.9537526527594719	0.3005925437436371	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
f9fbeb92-6819-e280-8829-a9d10bc69ee3	-0.26237485370392877	0.9649660284921133	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
b9aafce4-175b-1c92-439a-bfd50ad5e5bc	0.6702291758433747	0.7421541968137826	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
676f43f1-bda0-b781-b34b-a7e9bc17bec0	0.9866275920404853	-0.16299078079570548	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
20157157-900a-d45c-2e5c-3b54b3bd3e06	0.39592515018183416	-0.9182827862121189	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
5ac8b5b1-722f-9e9c-cd26-8e5361048fdc	-0.5587890488516163	-0.8293098328631502	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
58603842-d435-2ac1-8fe0-272e923b9dcd	-0.9997551733586199	0.022126756261955736	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
6322e68b-ea43-896c-6c40-e342ec5286a9	-0.5215510020869119	0.8532201077225842	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
bfa94846-40d5-e461-f662-fe1c2c3e4f2b	0.43616475524782494	0.8998668269691937	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
99236d06-328a-5a7b-3b64-dab41f44bed0	-0.7682546613236668	-0.6401443394691997	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
ef14bdf0-9dd0-6b11-1b04-c4e902bcebd7	-0.9537526527594719	0.3005925437436371	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
6502c446-3511-2210-6e29-bb7a03ec71f5	-0.26237485370392877	0.9649660284921133	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
bccdaf98-eb6b-e01f-4adf-d0ab0cde8e40	0.6702291758433747	0.7421541968137826	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
736b115c-302e-096d-3373-28d426454dd7	0.9866275920404853	-0.16299078079570548	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
7271785f-1280-1134-f2d3-3b0b33311c0d	0.39592515018183416	-0.9182827862121189	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
343d006e-4fb2-05cc-e6d9-b8cbd65a9073	-0.5587890488516163	-0.8293098328631502	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
33f45697-1e28-bc33-8daf-530bf4a0b93d	-0.9997551733586199	0.022126756261955736	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
9f764250-dd3e-86bb-6ff2-28eba96cc68e	-0.5215510020869119	0.8532201077225842	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
ff63a236-cac9-293f-a687-a3c725c5cf74	0.43616475524782494	0.8998668269691937	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
14179044-c121-0f9f-201a-5032292642c7	-0.7682546613236668	-0.6401443394691997	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
54397e74-8e6c-a43a-302e-7f95e2b822ef	-0.9537526527594719	0.3005925437436371	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
90afb749-ca35-eb85-8357-9989aea53459	-0.26237485370392877	0.9649660284921133	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
7a89e8b9-0ce8-ee44-cef7-5fa2b23cc75e	0.6702291758433747	0.7421541968137826	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
e0d6d541-2456-e8dd-eecb-2d916343e6a0	0.9866275920404853	-0.16299078079570548	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
c56bbadc-bb19-39d1-6c2b-7c5b19b754e3	0.39592515018183416	-0.9182827862121189	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
6eb8d5bd-4ad5-d7ae-658c-653798ecd45d	-0.5587890488516163	-0.8293098328631502	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
2b5910bd-6196-dbec-4dfa-6072ff54607a	-0.9997551733586199	0.022126756261955736	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
d2db6382-314c-c06c-47af-ce9922ceac30	-0.5215510020869119	0.8532201077225842	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
a372eb44-cbe3-85fb-460a-6efca7891788	0.43616475524782494	0.8998668269691937	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
cdc95355-1c5e-98f9-99aa-8446de57087c	-0.7682546613236668	-0.6401443394691997	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
d7b239fe-e56b-b9da-871c-a8b23d1d879c	-0.9537526527594719	0.3005925437436371	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
fa8e8a5f-3244-2734-f0b3-c0b4f1b14da7	-0.26237485370392877	0.9649660284921133	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
e3947ea9-f496-d504-2e80-fcc46174c2cc	0.6702291758433747	0.7421541968137826	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
818262a4-21ac-ebd5-5458-2ad7b31c9725	0.9866275920404853	-0.16299078079570548	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
0932d82f-9c97-7a47-6459-2c5cbbaa9630	0.39592515018183416	-0.9182827862121189	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
574f773f-ec03-b48a-50a5-ec574676a472	-0.5587890488516163	-0.8293098328631502	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
4e9f14c1-d9a3-4a97-7ea8-52a014c8c4c4	-0.9997551733586199	0.022126756261955736	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
ba298faa-ed80-9099-4790-850d91569e8d	-0.5215510020869119	0.8532201077225842	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
e01b9394-86cf-7218-0304-e9c86716125c	0.43616475524782494	0.8998668269691937	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
7619cd98-c856-105d-7af7-b6cc26f4fb12	-0.7682546613236668	-0.6401443394691997	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
e6209f88-df3f-063e-292a-ef0aa1285985	-0.9537526527594719	0.3005925437436371	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
2be03257-8e71-0c01-71d4-bdd35ba0c396	-0.26237485370392877	0.9649660284921133	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
b0cd95ec-9dec-45de-97b9-75722503f77a	0.6702291758433747	0.7421541968137826	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
b6944137-0bf5-7d71-32ef-89dc44da0fbb	0.9866275920404853	-0.16299078079570548	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
e8ab2ea3-5f6c-2c30-41c8-c508fd4d371e	0.39592515018183416	-0.9182827862121189	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
52cd5ba8-a57e-b7bb-8841-73234ffde3e2	-0.5587890488516163	-0.8293098328631502	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
434baaf0-8148-8ad0-471b-14fa5431a400	-0.9997551733586199	0.022126756261955736	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
48b28897-d74a-d597-27d4-6bfb9070f556	-0.5215510020869119	0.8532201077225842	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
91745d9d-4707-2d12-f9c9-00d7ee6e8e8e	0.43616475524782494	0.8998668269691937	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
5f976d18-678d-df37-9f9e-8c981bf026e5	-0.7682546613236668	-0.6401443394691997	it's\ta tab\nCOPY public.asset (id) FROM stdin;\n\\.
\.


--
-- Data for Name: geodata_places; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.geodata_places (id, name, longitude, latitude) FROM stdin;
1	Αθήνα	23.72	37.98
2	Zürich	8.54	47.37
\.


--
-- Data for Name: system_metadata; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.system_metadata (key, value) FROM stdin;
MediaLocation	{"location": "/usr/src/app/upload"}
system-flags	{"mountChecks": {"thumbs": true}}
\.


--
-- Data for Name: user; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public."user" (id, name, email, "createdAt") FROM stdin;
24c9e15e-52af-c47c-225b-757e7bee1f9d	Ada	ada@example.com	2024-05-01 10:00:00+00
7e58d63b-6019-7ceb-55a1-c487989a3720	Zoë	zoë@example.com	2024-05-01 10:00:00+00
92877af7-0a45-fd6a-2ed7-fe81e1236b78	小明 B	小明@example.com	2024-05-01 10:00:00+00
\.


--
-- Data for Name: version_history; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.version_history (id, "createdAt", version) FROM stdin;
6654c734-ccab-8f44-0ff0-825eb443dc7f	2025-06-01 00:00:00+00	1.135.3
1b267619-c481-2cc4-6ee2-81747884ca50	2026-01-10 00:00:00+00	2.5.1
\.


--
-- Name: album_asset album_asset_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.album_asset
    ADD CONSTRAINT album_asset_pkey PRIMARY KEY ("albumId", "assetId");


--
-- Name: album album_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.album
    ADD CONSTRAINT album_pkey PRIMARY KEY (id);


--
-- Name: asset_audit asset_audit_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.asset_audit
    ADD CONSTRAINT asset_audit_pkey PRIMARY KEY (id);


--
-- Name: asset_exif asset_exif_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.asset_exif
    ADD CONSTRAINT asset_exif_pkey PRIMARY KEY ("assetId");


--
-- Name: asset asset_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.asset
    ADD CONSTRAINT asset_pkey PRIMARY KEY (id);


--
-- Name: geodata_places geodata_places_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.geodata_places
    ADD CONSTRAINT geodata_places_pkey PRIMARY KEY (id);


--
-- Name: system_metadata system_metadata_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.system_metadata
    ADD CONSTRAINT system_metadata_pkey PRIMARY KEY (key);


--
-- Name: user user_email_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public."user"
    ADD CONSTRAINT user_email_key UNIQUE (email);


--
-- Name: user user_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public."user"
    ADD CONSTRAINT user_pkey PRIMARY KEY (id);


--
-- Name: version_history version_history_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.version_history
    ADD CONSTRAINT version_history_pkey PRIMARY KEY (id);


--
-- Name: idx_places_earth; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX idx_places_earth ON public.geodata_places USING gist (public.ll_to_earth(latitude, longitude));


--
-- Name: idx_places_name; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX idx_places_name ON public.geodata_places USING gin (name public.gin_trgm_ops);


--
-- Name: asset asset_delete_audit; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER asset_delete_audit AFTER DELETE ON public.asset FOR EACH ROW EXECUTE FUNCTION public.asset_delete_audit();


--
-- Name: album_asset album_asset_albumId_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.album_asset
    ADD CONSTRAINT "album_asset_albumId_fkey" FOREIGN KEY ("albumId") REFERENCES public.album(id) ON DELETE CASCADE;


--
-- Name: album_asset album_asset_assetId_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.album_asset
    ADD CONSTRAINT "album_asset_assetId_fkey" FOREIGN KEY ("assetId") REFERENCES public.asset(id) ON DELETE CASCADE;


--
-- Name: album album_ownerId_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.album
    ADD CONSTRAINT "album_ownerId_fkey" FOREIGN KEY ("ownerId") REFERENCES public."user"(id);


--
-- Name: asset_exif asset_exif_assetId_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.asset_exif
    ADD CONSTRAINT "asset_exif_assetId_fkey" FOREIGN KEY ("assetId") REFERENCES public.asset(id) ON DELETE CASCADE;


--
-- Name: asset asset_ownerId_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.asset
    ADD CONSTRAINT "asset_ownerId_fkey" FOREIGN KEY ("ownerId") REFERENCES public."user"(id);


--
-- Name: SCHEMA public; Type: ACL; Schema: -; Owner: postgres
--

REVOKE USAGE ON SCHEMA public FROM PUBLIC;
GRANT ALL ON SCHEMA public TO PUBLIC;


--
-- PostgreSQL database dump complete
--

\unrestrict Hi4nNa3RJHYaUBaZtbpXCk8FFKVshVW0fX8huUsfT0EphPStCapTrYKc182wLsc

--
-- Database "postgres" dump
--

--
-- PostgreSQL database dump
--

\restrict uBwMgqNlUMjeQFdjVyYfkVU3I8dWPRljIoRVIphymZECgl2VxTtPcRpBUn5A1aE

-- Dumped from database version 14.23
-- Dumped by pg_dump version 18.6

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

DROP DATABASE postgres;
--
-- Name: postgres; Type: DATABASE; Schema: -; Owner: postgres
--

CREATE DATABASE postgres WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C';


ALTER DATABASE postgres OWNER TO postgres;

\unrestrict uBwMgqNlUMjeQFdjVyYfkVU3I8dWPRljIoRVIphymZECgl2VxTtPcRpBUn5A1aE
\connect postgres
\restrict uBwMgqNlUMjeQFdjVyYfkVU3I8dWPRljIoRVIphymZECgl2VxTtPcRpBUn5A1aE

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: DATABASE postgres; Type: COMMENT; Schema: -; Owner: postgres
--

COMMENT ON DATABASE postgres IS 'default administrative connection database';


--
-- Name: public; Type: SCHEMA; Schema: -; Owner: postgres
--

-- *not* creating schema, since initdb creates it


ALTER SCHEMA public OWNER TO postgres;

--
-- Name: SCHEMA public; Type: ACL; Schema: -; Owner: postgres
--

REVOKE USAGE ON SCHEMA public FROM PUBLIC;
GRANT ALL ON SCHEMA public TO PUBLIC;


--
-- PostgreSQL database dump complete
--

\unrestrict uBwMgqNlUMjeQFdjVyYfkVU3I8dWPRljIoRVIphymZECgl2VxTtPcRpBUn5A1aE

--
-- PostgreSQL database cluster dump complete
--

