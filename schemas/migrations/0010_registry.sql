-- The registry of language subtags as it was on 2024-05-16 (0005 has that of 2021-08-06), and whole names in events.

INSERT INTO language_code
SELECT 'language', code, NULL FROM (SELECT unnest(string_split(
    'ajs bpc cls cnq cxh dsk dsz dyr egm eud gov ikh imt isv izm lgo lgs lqr lsc lsw lvl nww nzr oie phj pze pzh rib '
    'rnb rrm rsk rsn rsw tok tvi ugh uly uon vjk vsn wdt wtb wyn xdq xhm ycr ykh zcd zem zlu', ' ')) AS code)
UNION ALL
SELECT 'script', code, NULL FROM (SELECT unnest(string_split(
    'chis gara gukh kawi krai nagm onao sidt sunu tayo todr tols tutg', ' ')) AS code)
UNION ALL
SELECT 'region', 'cq', NULL
UNION ALL
SELECT 'renamed', part[:3], part[5:] FROM (SELECT unnest(string_split(
    'ajp:apc ajt:aeb kgm:plu lak:ksp nom:cbr pmk:crr prp:gu smd:kmb snb:iba szd:umi tmk:tdg tpw:tpn xss:zko zkb:kjh',
    ' ')) AS part);

UPDATE event SET before = model_id, after = split_part(model_id, ':', 1) || ':' || after
WHERE kind = 'renamed' AND NOT starts_with(after, split_part(model_id, ':', 1) || ':');
COMMENT ON COLUMN event.before IS 'The value before; for base_model the parents'' model_id, for renamed the model''s.';
COMMENT ON COLUMN event.after IS 'The value after; models by their model_id.';
