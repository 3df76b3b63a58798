-- What model cards document, what making the models has cost, and what licences permit.

COMMENT ON COLUMN link.target IS 'An arXiv identifier without version, a dataset''s or space''s name, a DOI in lower case or a repository''s address, by kind.';
COMMENT ON COLUMN link.source IS 'Where it is said: tags, card (its metadata), text (of the card) or listing.';
COMMENT ON COLUMN card_section.words IS 'Words under the heading, without comments, HTML tags, pictures, filler and generated sentences.';

CREATE TABLE card_topic (
    model_id VARCHAR, scheme VARCHAR, topic VARCHAR, position INTEGER, field VARCHAR, filled BOOLEAN
);
COMMENT ON TABLE card_topic IS 'What a section of a model card, or a field of its metadata, is about; several topics are allowed.';
COMMENT ON COLUMN card_topic.model_id IS 'The model.';
COMMENT ON COLUMN card_topic.scheme IS 'mitchell (Mitchell et al. 2019, Model Cards for Model Reporting) or template (the Hub''s).';
COMMENT ON COLUMN card_topic.topic IS 'A section of that scheme, e.g. intended_use.';
COMMENT ON COLUMN card_topic.position IS 'The section, as in card_section; NULL where the metadata says it.';
COMMENT ON COLUMN card_topic.field IS 'The metadata''s field; NULL where the text says it.';
COMMENT ON COLUMN card_topic.filled IS 'Whether anything but filler stands there.';

CREATE TABLE documentation (
    model_id VARCHAR, score DOUBLE, words INTEGER, model_details BOOLEAN, intended_use BOOLEAN, factors BOOLEAN,
    metrics BOOLEAN, evaluation_data BOOLEAN, training_data BOOLEAN, quantitative_analyses BOOLEAN,
    ethical_considerations BOOLEAN, caveats_and_recommendations BOOLEAN, template_sections INTEGER
);
COMMENT ON TABLE documentation IS 'How complete a model card is: which of the nine sections of Mitchell et al. 2019 say anything. See docs/documentation_score.md.';
COMMENT ON COLUMN documentation.model_id IS 'The model; one whose card is not in this lake has no row.';
COMMENT ON COLUMN documentation.score IS 'Weights of the filled sections, 0 to 1; the weights are in documentation_weight.';
COMMENT ON COLUMN documentation.words IS 'Words of the card that count.';
COMMENT ON COLUMN documentation.model_details IS 'Whether it says who made the model, what it is, how it was trained, its licence or whom to ask.';
COMMENT ON COLUMN documentation.intended_use IS 'Whether it says what the model is for, or not for.';
COMMENT ON COLUMN documentation.factors IS 'Whether it says across which groups, instruments or surroundings the model may differ.';
COMMENT ON COLUMN documentation.metrics IS 'Whether it names the measures of performance.';
COMMENT ON COLUMN documentation.evaluation_data IS 'Whether it names the data that the model was evaluated on.';
COMMENT ON COLUMN documentation.training_data IS 'Whether it names the data that the model was trained on.';
COMMENT ON COLUMN documentation.quantitative_analyses IS 'Whether it reports results.';
COMMENT ON COLUMN documentation.ethical_considerations IS 'Whether it speaks of bias, risks or harms.';
COMMENT ON COLUMN documentation.caveats_and_recommendations IS 'Whether it speaks of limitations, or recommends anything.';
COMMENT ON COLUMN documentation.template_sections IS 'Sections of the Hub''s template that say anything.';

CREATE TABLE documentation_weight (section VARCHAR, weight DOUBLE, reason VARCHAR);
INSERT INTO documentation_weight VALUES
    ('model_details', 0.20, 'What the model is: nothing can be done with a model without it.'),
    ('intended_use', 0.15, 'Whether the model suits a purpose is what most readers come for.'),
    ('factors', 0.05, 'Depends on the kind of model: not every one has groups to tell apart.'),
    ('metrics', 0.10, 'One of three parts of an evaluation.'),
    ('evaluation_data', 0.10, 'One of three parts of an evaluation.'),
    ('training_data', 0.15, 'Decides what the model knows, and what may be done with it.'),
    ('quantitative_analyses', 0.10, 'One of three parts of an evaluation.'),
    ('ethical_considerations', 0.10, 'Risks that a reader cannot find out alone.'),
    ('caveats_and_recommendations', 0.05, 'Often said together with the ethical considerations.');
COMMENT ON TABLE documentation_weight IS 'What each section counts in the documentation score.';
COMMENT ON COLUMN documentation_weight.section IS 'Section of Mitchell et al. 2019, a column of documentation.';
COMMENT ON COLUMN documentation_weight.weight IS 'Its part of the score; together 1.';
COMMENT ON COLUMN documentation_weight.reason IS 'Why.';

CREATE VIEW documentation_evidence AS
SELECT model_id, card_topic.scheme, card_topic.topic, card_topic.filled,
    coalesce(card_section.heading, 'metadata: ' || card_topic.field) AS heading, card_section.words,
    card_section.evidence, card_topic.position
FROM card_topic LEFT JOIN card_section USING (model_id, position);
COMMENT ON VIEW documentation_evidence IS 'Where a model card speaks of each topic, and its first words there.';
COMMENT ON COLUMN documentation_evidence.filled IS 'Whether anything but filler stands there.';
COMMENT ON COLUMN documentation_evidence.heading IS 'The heading, or metadata: and the field; NULL for text before the first heading.';

CREATE TABLE footprint (
    model_id VARCHAR, source VARCHAR, grams DOUBLE, stated VARCHAR, method VARCHAR, training_type VARCHAR,
    hardware VARCHAR, hours DOUBLE, provider VARCHAR, location VARCHAR
);
COMMENT ON TABLE footprint IS 'What making a model has cost, as its card says: a row from its metadata, one from its text.';
COMMENT ON COLUMN footprint.model_id IS 'The model.';
COMMENT ON COLUMN footprint.source IS 'Where it is said: metadata or text.';
COMMENT ON COLUMN footprint.grams IS 'Emissions in grams of CO2 equivalents; NULL where none, or no amount, is stated.';
COMMENT ON COLUMN footprint.stated IS 'The emissions as they are written.';
COMMENT ON COLUMN footprint.method IS 'How they were found.';
COMMENT ON COLUMN footprint.training_type IS 'What they were caused by: pre-training, fine-tuning, ...';
COMMENT ON COLUMN footprint.hardware IS 'Hardware used.';
COMMENT ON COLUMN footprint.hours IS 'Hours for which it was used.';
COMMENT ON COLUMN footprint.provider IS 'Cloud provider.';
COMMENT ON COLUMN footprint.location IS 'Where the hardware stands.';

CREATE TABLE licence_terms (
    license VARCHAR, commercial_use BOOLEAN, derivatives BOOLEAN, share_alike BOOLEAN, use_restrictions BOOLEAN,
    says VARCHAR
);
INSERT INTO licence_terms VALUES
    ('apache-2.0', true, true, false, false, 'Permissive: attribution at most.'),
    ('mit', true, true, false, false, 'Permissive: attribution at most.'),
    ('afl-3.0', true, true, false, false, 'Permissive: attribution at most.'),
    ('artistic-2.0', true, true, false, false, 'Permissive: attribution at most.'),
    ('bsl-1.0', true, true, false, false, 'Permissive: attribution at most.'),
    ('bsd', true, true, false, false, 'Permissive: attribution at most.'),
    ('bsd-2-clause', true, true, false, false, 'Permissive: attribution at most.'),
    ('bsd-3-clause', true, true, false, false, 'Permissive: attribution at most.'),
    ('bsd-3-clause-clear', true, true, false, false, 'Permissive: attribution at most.'),
    ('0bsd', true, true, false, false, 'Permissive: attribution at most.'),
    ('isc', true, true, false, false, 'Permissive: attribution at most.'),
    ('ncsa', true, true, false, false, 'Permissive: attribution at most.'),
    ('postgresql', true, true, false, false, 'Permissive: attribution at most.'),
    ('unlicense', true, true, false, false, 'Permissive: attribution at most.'),
    ('zlib', true, true, false, false, 'Permissive: attribution at most.'),
    ('wtfpl', true, true, false, false, 'Permissive: attribution at most.'),
    ('ecl-2.0', true, true, false, false, 'Permissive: attribution at most.'),
    ('etalab-2.0', true, true, false, false, 'Permissive: attribution at most.'),
    ('openmdw-1.0', true, true, false, false, 'Open model, data and weights: permissive.'),
    ('openmdw-1.1', true, true, false, false, 'Open model, data and weights: permissive.'),
    ('cc0-1.0', true, true, false, false, 'Given to the public domain.'),
    ('pddl', true, true, false, false, 'Given to the public domain.'),
    ('cc-by-2.0', true, true, false, false, 'Attribution.'),
    ('cc-by-2.5', true, true, false, false, 'Attribution.'),
    ('cc-by-3.0', true, true, false, false, 'Attribution.'),
    ('cc-by-4.0', true, true, false, false, 'Attribution.'),
    ('cdla-permissive-1.0', true, true, false, false, 'Data licence: attribution at most.'),
    ('cdla-permissive-2.0', true, true, false, false, 'Data licence: attribution at most.'),
    ('odc-by', true, true, false, false, 'Data licence: attribution at most.'),
    ('c-uda', true, true, false, false, 'Data for computational use; results of the computation are free.'),
    ('cc-by-sa-3.0', true, true, true, false, 'Share-alike: derivatives under the same licence, or one that is listed as compatible.'),
    ('cc-by-sa-4.0', true, true, true, false, 'Share-alike: derivatives under the same licence, or one that is listed as compatible.'),
    ('cdla-sharing-1.0', true, true, true, false, 'Data licence: derived data under the same licence.'),
    ('odbl', true, true, true, false, 'Data licence: derived data under the same licence.'),
    ('cc-by-nd-4.0', true, false, false, false, 'No derivatives may be shared.'),
    ('cc-by-nc-2.0', false, true, false, false, 'No commercial use.'),
    ('cc-by-nc-3.0', false, true, false, false, 'No commercial use.'),
    ('cc-by-nc-4.0', false, true, false, false, 'No commercial use.'),
    ('cc-by-nc-nd-3.0', false, false, false, false, 'No commercial use, and no derivatives may be shared.'),
    ('cc-by-nc-nd-4.0', false, false, false, false, 'No commercial use, and no derivatives may be shared.'),
    ('cc-by-nc-sa-2.0', false, true, true, false, 'No commercial use; share-alike.'),
    ('cc-by-nc-sa-3.0', false, true, true, false, 'No commercial use; share-alike.'),
    ('cc-by-nc-sa-4.0', false, true, true, false, 'No commercial use; share-alike.'),
    ('gpl', true, true, true, false, 'Copyleft: derivatives under the same licence.'),
    ('gpl-2.0', true, true, true, false, 'Copyleft: derivatives under the same licence.'),
    ('gpl-3.0', true, true, true, false, 'Copyleft: derivatives under the same licence.'),
    ('agpl-3.0', true, true, true, false, 'Copyleft: derivatives under the same licence.'),
    ('lgpl', true, true, true, false, 'Copyleft: what is changed stays under the same licence.'),
    ('lgpl-2.1', true, true, true, false, 'Copyleft: what is changed stays under the same licence.'),
    ('lgpl-3.0', true, true, true, false, 'Copyleft: what is changed stays under the same licence.'),
    ('lgpl-lr', true, true, true, false, 'Copyleft: what is changed stays under the same licence.'),
    ('mpl-2.0', true, true, true, false, 'Copyleft: what is changed stays under the same licence.'),
    ('epl-1.0', true, true, true, false, 'Copyleft: what is changed stays under the same licence.'),
    ('epl-2.0', true, true, true, false, 'Copyleft: what is changed stays under the same licence.'),
    ('ms-pl', true, true, true, false, 'Copyleft: what is changed stays under the same licence.'),
    ('osl-3.0', true, true, true, false, 'Copyleft: what is changed stays under the same licence.'),
    ('eupl-1.1', true, true, true, false, 'Copyleft: what is changed stays under the same licence.'),
    ('eupl-1.2', true, true, true, false, 'Copyleft: what is changed stays under the same licence.'),
    ('ofl-1.1', true, true, true, false, 'Copyleft: what is changed stays under the same licence.'),
    ('gfdl', true, true, true, false, 'Copyleft: what is changed stays under the same licence.'),
    ('lppl-1.3c', true, true, false, false, 'Derivatives must say that they are changed.'),
    ('openrail', true, true, false, true, 'May be used for anything but what its list forbids; derivatives must carry the same restrictions.'),
    ('openrail++', true, true, false, true, 'May be used for anything but what its list forbids; derivatives must carry the same restrictions.'),
    ('bigscience-openrail-m', true, true, false, true, 'May be used for anything but what its list forbids; derivatives must carry the same restrictions.'),
    ('creativeml-openrail-m', true, true, false, true, 'May be used for anything but what its list forbids; derivatives must carry the same restrictions.'),
    ('bigscience-bloom-rail-1.0', true, true, false, true, 'May be used for anything but what its list forbids; derivatives must carry the same restrictions.'),
    ('bigcode-openrail-m', true, true, false, true, 'May be used for anything but what its list forbids; derivatives must carry the same restrictions.'),
    ('llama2', true, true, false, true, 'Community licence: acceptable-use policy, a limit on large companies; derivatives go with a copy of it.'),
    ('llama3', true, true, false, true, 'Community licence: acceptable-use policy, a limit on large companies; derivatives go with a copy of it.'),
    ('llama3.1', true, true, false, true, 'Community licence: acceptable-use policy, a limit on large companies; derivatives go with a copy of it.'),
    ('llama3.2', true, true, false, true, 'Community licence: acceptable-use policy, a limit on large companies; derivatives go with a copy of it.'),
    ('llama3.3', true, true, false, true, 'Community licence: acceptable-use policy, a limit on large companies; derivatives go with a copy of it.'),
    ('llama4', true, true, false, true, 'Community licence: acceptable-use policy, a limit on large companies; derivatives go with a copy of it.'),
    ('gemma', true, true, false, true, 'Terms of use: prohibited uses, which whoever gets a derivative must be bound by.'),
    ('grok2-community', true, true, false, true, 'Community licence with an acceptable-use policy, and a limit on large companies.'),
    ('deepfloyd-if-license', false, true, false, true, 'Research without commercial use; derivatives under the same restrictions.'),
    ('fair-noncommercial-research-license', false, true, false, true, 'Research without commercial use; derivatives under the same restrictions.'),
    ('intel-research', false, true, false, true, 'Research only; derivatives under the same restrictions.'),
    ('h-research', false, true, false, true, 'Research only; derivatives under the same restrictions.'),
    ('apple-amlr', false, true, false, true, 'Research only; derivatives under the same restrictions.'),
    ('apple-ascl', true, true, false, false, 'Sample code licence: attribution.'),
    ('cc', NULL, NULL, NULL, NULL, 'Says too little: nothing is concluded from it.'),
    ('unknown', NULL, NULL, NULL, NULL, 'Says too little: nothing is concluded from it.'),
    ('other', NULL, NULL, NULL, NULL, 'Says too little: nothing is concluded from it.');
COMMENT ON TABLE licence_terms IS 'What the licences of the Hub''s list permit, as the view licence_conflicts needs it: a reading to argue with, and no legal advice.';
COMMENT ON COLUMN licence_terms.license IS 'The Hub''s identifier in lower case.';
COMMENT ON COLUMN licence_terms.commercial_use IS 'Whether commercial use is permitted; NULL where the name does not tell.';
COMMENT ON COLUMN licence_terms.derivatives IS 'Whether derivatives may be shared.';
COMMENT ON COLUMN licence_terms.share_alike IS 'Whether derivatives have to be under the same licence, or one of licence_compatible.';
COMMENT ON COLUMN licence_terms.use_restrictions IS 'Whether some uses are forbidden and derivatives must forbid them too.';
COMMENT ON COLUMN licence_terms.says IS 'In words.';

CREATE TABLE licence_compatible (license VARCHAR, derivative VARCHAR);
INSERT INTO licence_compatible VALUES
    ('cc-by-sa-3.0', 'cc-by-sa-4.0'), ('cc-by-sa-4.0', 'gpl-3.0'), ('cc-by-nc-sa-2.0', 'cc-by-nc-sa-3.0'), ('cc-by-nc-sa-2.0', 'cc-by-nc-sa-4.0'),
    ('cc-by-nc-sa-3.0', 'cc-by-nc-sa-4.0'), ('gpl', 'gpl-2.0'), ('gpl', 'gpl-3.0'), ('gpl', 'agpl-3.0'),
    ('gpl-2.0', 'gpl'), ('gpl-2.0', 'gpl-3.0'), ('gpl-2.0', 'agpl-3.0'), ('gpl-3.0', 'gpl'),
    ('gpl-3.0', 'agpl-3.0'), ('lgpl', 'lgpl-2.1'), ('lgpl', 'lgpl-3.0'), ('lgpl', 'gpl'),
    ('lgpl', 'gpl-2.0'), ('lgpl', 'gpl-3.0'), ('lgpl', 'agpl-3.0'), ('lgpl-2.1', 'lgpl'),
    ('lgpl-2.1', 'lgpl-3.0'), ('lgpl-2.1', 'gpl'), ('lgpl-2.1', 'gpl-2.0'), ('lgpl-2.1', 'gpl-3.0'),
    ('lgpl-2.1', 'agpl-3.0'), ('lgpl-3.0', 'lgpl'), ('lgpl-3.0', 'gpl'), ('lgpl-3.0', 'gpl-3.0'),
    ('lgpl-3.0', 'agpl-3.0'), ('mpl-2.0', 'lgpl'), ('mpl-2.0', 'lgpl-2.1'), ('mpl-2.0', 'lgpl-3.0'),
    ('mpl-2.0', 'gpl'), ('mpl-2.0', 'gpl-2.0'), ('mpl-2.0', 'gpl-3.0'), ('mpl-2.0', 'agpl-3.0'),
    ('epl-1.0', 'epl-2.0'), ('eupl-1.1', 'eupl-1.2'), ('eupl-1.1', 'gpl-2.0'), ('eupl-1.1', 'osl-3.0'),
    ('eupl-1.1', 'epl-1.0'), ('eupl-1.2', 'eupl-1.1'), ('eupl-1.2', 'gpl-2.0'), ('eupl-1.2', 'gpl-3.0'),
    ('eupl-1.2', 'agpl-3.0'), ('eupl-1.2', 'osl-3.0'), ('eupl-1.2', 'epl-1.0'), ('eupl-1.2', 'mpl-2.0'),
    ('eupl-1.2', 'lgpl-2.1'), ('eupl-1.2', 'lgpl-3.0');
COMMENT ON TABLE licence_compatible IS 'Share-alike licences, and the other licences that they let derivatives be under. Versions that are not stated are taken as "or later".';
COMMENT ON COLUMN licence_compatible.license IS 'The share-alike licence.';
COMMENT ON COLUMN licence_compatible.derivative IS 'A licence that a derivative may be under as well.';

CREATE VIEW licence_conflicts AS
WITH RECURSIVE licensed AS (
    SELECT model_id, unnest(string_split(lower(license), ', ')) AS license FROM model WHERE license IS NOT NULL
), known AS (
    FROM licensed LEFT JOIN licence_terms USING (license)
), strict AS (
    FROM known WHERE NOT commercial_use OR NOT derivatives OR share_alike OR use_restrictions
), descendant (ancestor_id, child_id, depth) USING KEY (ancestor_id, child_id) AS (
    SELECT DISTINCT parent_id, child_id, 1 FROM lineage SEMI JOIN strict ON parent_id = model_id
    UNION
    SELECT DISTINCT descendant.ancestor_id, lineage.child_id, descendant.depth + 1
    FROM descendant JOIN lineage ON lineage.parent_id = descendant.child_id
    WHERE NOT EXISTS (
        FROM recurring.descendant AS found
        WHERE found.ancestor_id = descendant.ancestor_id AND found.child_id = lineage.child_id
    )
), child AS (
    SELECT known.model_id, string_agg(known.license, ', ' ORDER BY known.license) AS licenses,
        list(known.license) AS listed, bool_and(commercial_use) AS commercial_use,
        bool_or(use_restrictions) AS use_restrictions, bool_and(share_alike IS NOT NULL) AS is_known
    FROM known GROUP BY model_id
), pair AS (
    SELECT descendant.child_id, child.licenses AS child_license, descendant.ancestor_id AS parent_id,
        strict.license AS parent_license, descendant.depth, unnest([
            {'term': 'commercial use', 'conflicts': NOT strict.commercial_use AND child.is_known AND child.commercial_use,
              'reason': 'forbids commercial use, which ' || child.licenses || ' permits'},
            {'term': 'derivatives', 'conflicts': NOT strict.derivatives,
              'reason': 'forbids to share derivatives, and this one is shared under ' || child.licenses},
            {'term': 'share-alike',
              'conflicts': strict.share_alike AND child.is_known AND NOT list_contains(child.listed, strict.license)
                AND NOT EXISTS (FROM licence_compatible AS also
                    WHERE also.license = strict.license AND list_contains(child.listed, also.derivative)),
              'reason': 'wants derivatives under the same licence, which ' || child.licenses || ' is not'},
            {'term': 'use restrictions', 'conflicts': strict.use_restrictions AND child.is_known AND NOT child.use_restrictions,
              'reason': 'forbids some uses and wants derivatives to forbid them, and ' || child.licenses || ' forbids none'}
        ], recursive := true)
    FROM descendant JOIN child ON child.model_id = descendant.child_id
    JOIN strict ON strict.model_id = descendant.ancestor_id
    WHERE descendant.child_id <> descendant.ancestor_id
)
SELECT child_id, child_license, parent_id, parent_license, depth, term, parent_license || ' ' || reason AS reason
FROM pair WHERE conflicts;
COMMENT ON VIEW licence_conflicts IS 'Where a model''s licence permits what the licence of a model that it comes from forbids, by licence_terms.';
COMMENT ON COLUMN licence_conflicts.child_id IS 'The derived model.';
COMMENT ON COLUMN licence_conflicts.child_license IS 'Its licences, all of which hold.';
COMMENT ON COLUMN licence_conflicts.parent_id IS 'The model that it comes from, directly or through others.';
COMMENT ON COLUMN licence_conflicts.parent_license IS 'The licence of that model that is in conflict.';
COMMENT ON COLUMN licence_conflicts.depth IS 'Steps from the parent to the child; 1 for a direct parent.';
COMMENT ON COLUMN licence_conflicts.term IS 'commercial use, derivatives, share-alike or use restrictions.';
COMMENT ON COLUMN licence_conflicts.reason IS 'What conflicts, in words.';

CREATE TABLE language_code (kind VARCHAR, code VARCHAR, preferred VARCHAR);
INSERT INTO language_code
SELECT 'language', code, NULL FROM (SELECT unnest(string_split_regex(trim('
aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo
es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik in io is it iu iw ja ji
jv jw ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mo mr ms mt my na nb
nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr
ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
', e'\n '), '\s+')) AS code)
UNION ALL
SELECT 'language', part[1:2] || unnest(string_split(part[4:], '')), NULL FROM (SELECT unnest(string_split_regex(trim('
aa:abcdefghiklmnopqstuvwxz ab:abcdefghijlmnopqrstuvwxyz ac:abdefhiklmnpqrstuvwxyz ad:abdefghijlnopqrstuwxyz
ae:abcdeklmnqrsuwyz af:abdeghiknopstuz ag:abcdefghijklmnopqrstuvwxyz ah:abghiklmnoprst ai:abcdefghijklmnopqrstwxy
aj:aginptuwz ak:bcdefghijklmopqrstuvwxyz al:acdefghijklmnopqrstuvwxyz am:abcefgijklmnopqrstuvwxyz
an:abcdefghijklmnopqrstuvwxyz ao:abcdefghijklmnrstuxz ap:abcdefghijklmnopqrstuvwxyz aq:acdgklmnprtz
ar:bcdehijklnopqrstuvwxyz as:abcdefghijklnopqrstuvwxyz at:abcdeghijklmnopqrstuvwxyz au:abcdefghijklmnopqrstuwxyz
av:bdiklmnostuv aw:abcdeghikmnorstuvwxy ax:begklmx ay:abcdeghiklnopqrstuxyz az:abcdgjmnotz
ba:abcdefghijlnoprstuvwxyz bb:abcdefghijklmnopqrstuvwxyz bc:abcdefghijklmnopqrstuvwyz bd:abcdefghijklmnopqrstuvwxyz
be:abcdefghijkmopqrstuvwxyz bf:abcdefghijklmnopqrstuwxyz bg:abcdefgijklmnopqrstuvwxyz bh:abcdefghijklmnopqrstuvwxyz
bi:abcdefgjklmnopqrtuvwxyz bj:abcdefghijklmnopqrstuvwxyz bk:abcdfghijklmnopqrstuvwxyz bl:abcdefghijklmnopqrstvwxyz
bm:abcdefghijklmnopqrstuvwxyz bn:abcdefgijklmnopqrstuvwxyz bo:abefghijklmnopqrtuvwxyz bp:abdeghijklmnopqrstuvwxyz
bq:abcdfghijklmnopqrstuvwxyz br:abcdfghijklmnopqrstuvwxyz bs:abcefghijklmnopqrstuvwxy bt:abcdefghijklmnopqrstuvwxyz
bu:abcdefghijkmnopqstuvwxyz bv:abcdefghijklmnopqrtuvwxyz bw:abcdefghijklmnopqrstuwxyz bx:abcdefghijklmnopqrsuvwxz
by:abcdefghijklmnopqrstvwxyz bz:abcdefghijklmnopqrstuvwxyz ca:abcdefghijklmnopqrsuvwxyz cb:abcdeghijklnoqrstuvwy
cc:acdeghjlmnopqrs cd:acdefghijmnorsyz ce:abgklnty cf:adgm cg:acgk ch:bcdfghjklmnopqrtwxyz ci:abcdehkmnprwy
cj:aehikmnoprsvy ck:abhlmnoqrstuvxyz cl:acdehijklmotuwy cm:acegiklmnorst cn:abcghikloprstuwx
co:abcdefghjklmnopqtuvwxyz cp:abcefginopsuxy cq:du cr:abcdfghijklmnopqrstvwxyz cs:abcdefghijklmnopqrstuvwxyz
ct:acdeghlmnopstuyz cu:abcghijklmopqrstuvwxy cv:gn cw:abdegt cy:abo cz:hknot da:acdefghijklmopqrsuvwxyz
db:abdefgijlmnopqrtuvwy dc:cr dd:adegijnorsw de:cdefghiklmnpqrsvz dg:abcdeghiklnorstuwxz dh:adgilmnorsuvwx
di:abcdfghijklmnopqrstuwxyz dj:abcdefijklmnoruw dk:agklrsx dl:gkmn dm:abcdefgklmnorsuvwxy dn:adegijknortuvwy
do:abcefhiklnopqrstvwxyz dp:p dr:abcdeghilnoqrstuwy ds:behilnoq dt:abdhikmnoprstuy du:abcdefghijklmnopqrsuvwxyz dv:a
dw:aklrsuwyz dy:abdgimnouy dz:adegln ea:a eb:cgkoru ec:rsy ee:e ef:aei eg:aloxy eh:su ei:ptv ej:a ek:acegiklmopry
el:ehikmopux em:abegikmnopqsuwxyz en:abcdfhlmnoqruvwx eo:t ep:i er:aghikorstw es:eghiklmnoqsuxy et:bchnorstuxz eu:q
ev:ehn ew:o ex:t ey:ao ez:ae fa:abdfghijklmnprtuxyz fb:l fc:s fe:r ff:im fg:r fi:aeflprtuw fk:kv fl:ahilnry fm:pu
fn:bgi fo:dimnrsx fp:e fq:s fr:cdkmopqrst fs:els fu:bcdefhijmnqrtuvy fv:r fw:ae ga:abcdefghijklmnopqrstuvwxyz
gb:abcdefghijklmnopqrsuvwxyz gc:cdeflnrt gd:abcdefghijklmnoqrstux ge:abcdfghijklmqsvwxyz gf:ktx gg:abdegklnortuw
gh:acehklnorst gi:abcdeghilmnopqrstuwxyz gj:ikmnru gk:adenopu gl:bcdhijkloruwy gm:abdeghlmnqruvwxyz
gn:abcdeghijklmnoqrtuwz go:abcdefghijklmnopqrstuwxyz gp:aen gq:ainru gr:abcdghijkmoqrstuvwxyz gs:eglmnopsw gt:aiu
gu:abcdefghiklmnopqrstuvwxz gv:acefjlmnoprsy gw:abcdefgijmnrtuwx gx:x gy:abdefgilmnoryz gz:ain
ha:abcdefghijklmnopqrsvwxyz hb:abnou hc:ah hd:nsy he:adghim hg:mw hh:iry hi:abdfghijklmortwx hj:i hk:aehkns
hl:abdetu hm:abcdefghijklmnpqrstuvwxyz hn:adeghijnosu ho:abcdehijklmoprstvwyz hp:os hr:acekmoprtuwxz hs:bhlns
ht:iosux hu:bcdefghijklmopqrstuvwxyz hv:ceknv hw:aco hy:awx ia:inpr ib:abdeghilmnruy ic:ahlr id:abcdeirstu
if:abefkmuy ig:beglmnosw ih:bipw ii:nr ij:cejnos ik:eikloprstvwxz il:abgiklmopsuvw im:aeilnorsy in:bceghjlmnopstz
io:ruw ip:io iq:uw ir:aehiknoruxy is:acdeghikmnortu it:bcdeiklmorstvwxyz iu:m iv:bv iw:kmos ix:cl iy:aox iz:hirz
ja:abcdefhjklmnoqrstuxyz jb:eijkmnortuw jc:st jd:agt je:beghiklnrtu jg:beko jh:is ji:abcdeghilmoqtuvy jj:er
jk:amoprsu jl:es jm:abcdilnrswx jn:adgijls jo:bdgrsw jp:arx jq:r jr:abrtu js:l ju:abcdhiklmnoprstuwy jv:dn jw:i
jy:aey ka:abcdefghijkmopqrvwxy kb:abcdefghijklmnopqrstuvwxyz kc:abcdefghijklmnopqrstuvwxyz
kd:acdefghijklmnopqrtuvwxyz ke:abcdefghijklmnopqrstuvwxyz kf:abcdefghijklmnopqrstuvwxyz kg:abcdefghijklmnopqrstuvwxy
kh:abcdefghijklnopqrstuvwxyz ki:abcdefghijlmopqstuvwxyz kj:abcdefghijklmnopqrstuvxyz kk:abcdefghijklmnopqrstuvwxyz
kl:abcdefghijklmnopqrstuvwxyz km:abcdefghijklmnopqrstuvwxyz kn:abcdefgijklmnopqrstuvwxyz ko:acdefghijklopqstuvwxyz
kp:abcdefghijklmnopqrstuvwxyz kq:abcdefghijklmnopqrstuvwxyz kr:abcdefhijklmnoprstuvwxyz
ks:abcdefghijklmnopqrstuvwxyz kt:abcdefghijklmnopqrstuvwxyz ku:bcdefghijklmnopqstuvwxyz
kv:abcdefghijklmnopqrstuvwxyz kw:abcdefghijklmnopqrstuvwxyz kx:abcdefhijklmnopqrstuvwxyz
ky:abcdefghijklmnopqrstuvwxyz kz:abcdefghijklmnopqrstuvwxyz la:abcdefghijklmnpqrsuwxyz lb:abcefgijklmnoqrstuvwxyz
lc:cdefhlmpqs ld:abdghijklmnopq le:abcdefghijklmnopqrstuvwxyz lf:an lg:abghiklmnqrtuz lh:ahilmnpstu
li:abcdefghijklopqrsuvwxyz lj:aeilpwx lk:abcdehijlmnorstuy ll:abcdefghijklmnopqsux lm:abcdefghijklmnopqruvwxyz
ln:abdghijlmnosuwz lo:abcefghijklmnopqrstuvwxyz lp:aenox lr:acegiklmnortvz ls:abdeghilmnoprstvy lt:cghinosu
lu:acdefijklmnopqrstuvwyz lv:aiksu lw:aeghlmostuw lx:m ly:agn lz:hlnz ma:abdefgijkmnpqstuvwxz
mb:abcdefhijklmnopqrstuvwxyz mc:abcdefghijklmnopqrstuvwxyz md:abcdefghijklmnpqrstuvwxyz me:abcdefghijklmnopqrstuvwyz
mf:abcdefghijklmnopqrstuvwxyz mg:abcdefghijklmnopqrstuvwxyz mh:abcdefghijklmnopqrstuwxyz
mi:abcdefghijklmnopqrstuwxyz mj:abcdeghijklmnopqrstuvwxyz mk:abcefghijklmnopqrstuvwxyz ml:abcdefhijklmnopqrsuvwxz
mm:abcdefghijklmnopqrtuvwxyz mn:abcdefghijklmnopqrstuvwxyz mo:acdefghijkmopqrstuvwxyz mp:abcdeghijklmnopqrstuvwxyz
mq:abcefghijklmnopqrstuvwxyz mr:abcdefghjklmnopqrstuvwxyz ms:bcdefghijklmnopqrstuvwxyz mt:abcdefghijklmnopqrstuvwxy
mu:abcdeghijklmnopqrstuvxyz mv:abdefghiklmnopqrstuvwxyz mw:abcdefghijklmnopqrstuvwxyz mx:abcdefghijklmnopqrstuvwxyz
my:bcdefghijklmnopqrstuvwxyz mz:abcdeghijklmnopqrstuvwxyz na:abcdefghijklmnopqrstwxyz nb:abcdefghijkmnopqrstuvwxy
nc:abcdefghijklmnopqrstuxz nd:abcdfghijklmnpqrstuvwxyz ne:abcdefghijkmnoqrstuvwxyz nf:adlru
ng:abcdefghijklmnopqrstuvwxyz nh:abcdefghikmnopqrtuvwxyz ni:abcdefghijklmnoqrstuvwxyz nj:abdhijlmnorstuxyz
nk:abcdefghijkmnopqrstuvwxz nl:acegijklmnoqruvwxyz nm:abcdefghijklmnopqrstuvwxyz nn:abcdefghijklmnpqrstuvwxyz
no:acdefghijklmnopqstuvwyz np:abghilnosuxy nq:gklmnoqty nr:abcefgiklmnprtuxz ns:abcdefghiklmnopqrstuvwxyz
nt:degijkmoprsuwxyz nu:abcdefghijklmnopqrstuvwxyz nv:hmo nw:abcegimorxy nx:adegiklmnoqrux
ny:bcdefghijklmnopqrstuvwxy nz:abdikmsuyz oa:acrv ob:iklmortu oc:ahmou od:aktu of:osu og:bcegou oh:tu oi:an
oj:bcgpsvw ok:abcdeghijklmnorsuvxz ol:adekmortu om:abcegiklnopqrtuvwxy on:abegijknoprstuwx oo:dgnrs op:akmoty
or:aceghnorstuvwxyz os:acinoptux ot:abdeiklmnoqrstuwxyz ou:abeimn ov:d ow:il oy:bdmy oz:m
pa:abcdefghiklmopqrstuvwxyz pb:bcefghilmnoprstuvyz pc:abcdefghijklmnprw pd:acinotu pe:abdefghijklmopqsvxyz pf:ael
pg:adgiklnsuyz ph:adghiklmnoqrtuvw pi:abcdefghijlmnoprstuvwxyz pj:t pk:abcghnoprstu pl:abcdefghjklnopqrstuvwyz
pm:abcdefhijklmnoqrstuwxyz pn:abcdeghijklmnopqrstuvwxyz po:cdefghikmnopqstvwxyz pp:aeiklmnopqrstu pq:aemw
pr:abcdefghiklmnopqrstuwxyz ps:acdeghilmnopqrstuwy pt:ahinopqrtuvwy pu:abcdefgijkmopqrtuwxyz pw:abgimnorw px:m
py:emnsuxy pz:n qu:abcdfghiklmnpqrsvwxyz qv:acehijlmnopswyz qw:acehmst qx:achlnopqrstuw qy:ap
ra:abcdfghijklmnopqrstuvwxyz rb:bklp rc:f rd:b re:abegijlmnrsty rg:aeknrsu rh:gp ri:aeflmnrtu rj:gis rk:abhimtw
rm:abcdefghiklmnopqrstuvwxyz rn:adglnprw ro:abcdefglmopruw rp:nt rr:iot rs:bilm rt:chmsw ru:bcefghikopqtuyz
rw:aklmor rx:dw ry:nsu rz:h sa:abcdefhijklmopqrstuvwxyz sb:abcdefghijklmnopqrstuvwxyz sc:abefghiklnopqstuvwx
sd:abcefghjklmnopqrstuvxz se:abcdefghijklmnopqrstuvwyz sf:bemsw sg:abcdeghijklmnoprstuwxyz
sh:abcdeghijklmnopqrstuvwxyz si:abdefghijklmopqrstuvwxyz sj:abdegklmnoprstuw sk:abcdefghijkmnopqrstuvwxyz
sl:acdefghijlmnpqrstuwxyz sm:abcdfghijklmnpqrstuvwxyz sn:bcefghijklmnopqrsuvwxyz so:abcdeghijklnopqrsuvwxyz
sp:bcdegiklmnopqrstuvxy sq:ahjkmnoqrstux sr:abcefghiklmnoqrstuvwxyz ss:abcdefghijklmnopqrstuvxyz
st:abdefghijklmnopqrstuvwy su:abcegijklmoqrstvwxyz sv:abcekmrsx sw:bcfghijklmnopqrstuvwxy sx:bcegklmnorsuw
sy:abcdiklmnorswxy sz:abcdeglnpsvwy ta:abcdefgijklnopqrsuvwxyz tb:abcdefghijklmnopqrstuvwxyz
tc:abcdefghiklmnopqstuwxyz td:abcdefghijklmnoqrstuvxy te:abcdefghikmnopqrstuvwxyz tf:inort
tg:abcdefghijnopqrstuvwxyz th:cdefhiklmnpqrstuvwxyz ti:acdefghijklmnopqstuvwxyz tj:agijlmnopsuw
tk:abdefgklmnpqrstuvwxz tl:abcdfghijklmnopqrstuvwxy tm:abcdefghijklmnopqrstuvwyz tn:abcdefghiklmnopqrstuvwxyz
to:bcdefghijlmopqrsuvwxyz tp:acefgijklmnopqrtuvwxyz tq:blmnopqrtuw tr:abcdefghijklmnopqrstuvwxyz
ts:abcdefghijklmpqrstuvwxyz tt:abcdefghijklmnopqrstuvwyz tu:abcdefghijlmnopqstuvwxyz tv:adeklmnostuwxy
tw:abcdefghlmnopqrtuwxy tx:abceghijmnoqrstuxy ty:aehijlnprstuvxyz tz:ahjlmnox ua:mnr ub:ailruy ud:aegijlmu ue:s uf:i
ug:abenoy uh:an ui:sv uj:i uk:aghiklpqsuvwy ul:abcefiklmnuw um:abcdgimnoprsu un:adegikmnpruxz uo:k up:iv
ur:abcefghijklmnoprtuvwxyz us:ahikpsu ut:aehpru uu:mnru uv:ehl uw:a uy:a uz:ns va:aefghijlmnoprsuvy vb:bk ve:cdlmopr
vg:rt vi:cdfglnstv vk:aijklmnoptuz vl:ps vm:abcdefghijklmpqrsuvwxyz vn:kmp vo:rt vr:aost vs:ilv vt:o vu:mnt vw:a
wa:abcdefghijklmnopqrstuvwxyz wb:abefhijklmpqrstvw wc:ai wd:dgjkuy we:acdghimnoprstuw wf:g wg:abgiouwy wh:agku
wi:bcefghijklmnrtuvwy wj:ai wk:abdlruwy wl:aceghiklmorsuvwxy wm:abcdeghimnostwx wn:bcdegikmnopuwy
wo:abcdefgikmnorswy wp:c wr:abdghiklmnoprsuvwxyz ws:agikrsuv wt:fhikmw wu:abdhlmnrtuvxy ww:aborw wx:aw wy:abimry
xa:abcdegijklmnopqrstuvwy xb:abcdegijmnoprwxy xc:bceghlmnortuvwy xd:ackmoy xe:bdglmprstu xf:a xg:abdfgilmnruw
xh:acdertuv xi:abilnprsvy xj:bt xk:abcdefghijklnopqrstuvwxyz xl:abcdeginopsuy xm:abcdefghjklmnopqrstuvwxyz
xn:abdghijkmnoqrstuyz xo:cdgikmnoprw xp:abcdefghijklmnopqrstuvwxyz xq:at xr:abdegimnqrtuw xs:abcdehijlmnopqrsuvy
xt:abcdeghijlmnopqrstuvwyz xu:abdgjlmnoprtu xv:einos xw:acdegjklortw xx:bkmrt xy:abjklty xz:hmp
ya:abcdefghijklmnopqrstuvwxyz yb:abdehijklmnoxy yc:hlnp yd:adegks ye:aceijlnrstuvy yg:ailmprsuw yh:adls
yi:afghijklmnpqrstuvxyz yk:agiklmnortuy yl:abegilmnoruy ym:abcdeghiklmnopqrstxz yn:adeghklnoqsu yo:bgiklmnstxy
yp:abghkmnopz yr:abeiklmnoswy ys:cdglmnoprsy yt:alpwy yu:abcdefgijklmnpqrtuwxyz yv:at yw:aglnqrtuw yx:aglmuy yy:ruz
yz:gk za:abcdefghijklmopqrstuvwxyz zb:aceltuw zc:ah zd:j ze:aghn zg:abhmnr zh:bdinwx zi:abklmnrwz zk:abdghknoprtuvz
zl:aejmnqsw zm:abcdefghijklmnopqrstuvwxyz zn:adegks zo:chmoqrs zp:abcdefghijklmnopqrstuvwxyz zq:e zr:agnops
zs:aklmru zt:eglmnpqstuxy zu:ahmny zw:a zx:x zy:bgjnp zz:aj
', e'\n '), '\s+')) AS part)
UNION ALL
SELECT 'script', code, NULL FROM (SELECT unnest(string_split_regex(trim('
adlm afak aghb ahom arab aran armi armn avst bali bamu bass batk beng bhks blis bopo brah brai bugi buhd cakm cans
cari cham cher chrs cirt copt cpmn cprt cyrl cyrs deva diak dogr dsrt dupl egyd egyh egyp elba elym ethi geok geor
glag gong gonm goth gran grek gujr guru hanb hang hani hano hans hant hatr hebr hira hluw hmng hmnp hrkt hung inds
ital jamo java jpan jurc kali kana khar khmr khoj kitl kits knda kore kpel kthi lana laoo latf latg latn leke lepc
limb lina linb lisu loma lyci lydi mahj maka mand mani marc maya medf mend merc mero mlym modi mong moon mroo mtei
mult mymr nand narb nbat newa nkdb nkgb nkoo nshu ogam olck orkh orya osge osma ougr palm pauc pcun pelm perm phag
phli phlp phlv phnx piqd plrd prti psin ranj rjng rohg roro runr samr sara sarb saur sgnw shaw shrd shui sidd sind
sinh sogd sogo sora soyo sund sylo syrc syre syrj syrn tagb takr tale talu taml tang tavt telu teng tfng tglg thaa
thai tibt tirh tnsa toto ugar vaii visp vith wara wcho wole xpeo xsux yezi yiii zanb zinh zmth zsye zsym zxxx zyyy
zzzz
', e'\n '), '\s+')) AS code)
UNION ALL
SELECT 'region', code, NULL FROM (SELECT unnest(string_split_regex(trim('
001 002 003 005 009 011 013 014 015 017 018 019 021 029 030 034 035 039 053 054 057 061 142 143 145 150 151 154 155
202 419 aa ac ad ae af ag ai al am an ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bl bm bn bo bq br bs bt
bu bv bw by bz ca cc cd cf cg ch ci ck cl cm cn co cp cr cs cu cv cw cx cy cz dd de dg dj dk dm do dz ea ec ee eg eh
er es et eu ez fi fj fk fm fo fr fx ga gb gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu ic id
ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me
mf mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr nt nu nz om pa pe pf pg ph pk
pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st su sv sx sy sz ta tc td
tf tg th tj tk tl tm tn to tp tr tt tv tw tz ua ug um un us uy uz va vc ve vg vi vn vu wf ws yd ye yt yu za zm zr zw
zz
', e'\n '), '\s+')) AS code);
INSERT INTO language_code
SELECT 'renamed', part[1:instr(part, ':') - 1], part[instr(part, ':') + 1:]
FROM (SELECT unnest(string_split_regex(trim('
aam:aas aar:aa abk:ab adp:dz afr:af aka:ak alb:sq amh:am ara:ar arg:an arm:hy asd:snz asm:as aue:ktz ava:av ave:ae
aym:ay ayx:nun aze:az bak:ba bam:bm baq:eu bel:be ben:bn bgm:bcg bic:bir bih:bh bis:bi bjd:drl blg:iba bod:bo bos:bs
bre:br bul:bg bur:my cat:ca ccq:rki ces:cs cha:ch che:ce chi:zh chu:cu chv:cv cjr:mom cka:cmr cmk:xch cor:kw cos:co
coy:pij cqu:quh cre:cr cym:cy cze:cs dan:da deu:de dit:dif div:dv drh:khk drr:kzk drw:prs dut:nl dzo:dz ell:el
eng:en epo:eo est:et eus:eu ewe:ee fao:fo fas:fa fij:fj fin:fi fra:fr fre:fr fry:fy ful:ff gav:dev geo:ka ger:de
gfx:vaj ggn:gvr gla:gd gle:ga glg:gl gli:kzk glv:gv gre:el grn:gn gti:nyc guj:gu guv:duz hat:ht hau:ha heb:he her:hz
hin:hi hmo:ho hrr:jal hrv:hr hun:hu hye:hy ibi:opa ibo:ig ice:is ido:io iii:ii iku:iu ile:ie ilw:gal in:id ina:ia
ind:id ipk:ik isl:is ita:it iw:he jav:jv jeg:oyb ji:yi jpn:ja jw:jv kal:kl kan:kn kas:ks kat:ka kau:kr kaz:kk
kgc:tdf kgh:kml khm:km kik:ki kin:rw kir:ky koj:kwv kom:kv kon:kg kor:ko krm:bmf ktr:dtp kua:kj kur:ku kvs:gdj
kwq:yam kxe:tvd kxl:kru kzj:dtp kzt:dtp lao:lo lat:la lav:lv lii:raq lim:li lin:ln lit:lt llo:ngt lmm:rmx ltz:lb
lub:lu lug:lg mac:mk mah:mh mal:ml mao:mi mar:mr may:ms meg:cir mkd:mk mlg:mg mlt:mt mo:ro mon:mn mri:mi msa:ms
mst:mry mwj:vaj mya:my myd:aog myt:mry nad:xny nau:na nav:nv nbl:nr ncp:kdz nde:nd ndo:ng nep:ne nld:nl nno:nn
nns:nbr nnx:ngv nob:nb nor:no nts:pij nxu:bpp nya:ny oci:oc oji:oj ori:or orm:om oss:os oun:vaj pan:pa pat:kxr
pcr:adx per:fa pli:pi pmc:huw pmu:phr pol:pl por:pt ppa:bfy ppr:lcq pry:prt pus:ps puz:pub que:qu roh:rm ron:ro
rum:ro run:rn rus:ru sag:sg san:sa sca:hle sin:si skk:oyb slk:sk slo:sk slv:sl sme:se smo:sm sna:sn snd:sd som:so
sot:st spa:es sqi:sq srd:sc srp:sr ssw:ss sun:su swa:sw swe:sv tah:ty tam:ta tat:tt tdu:dtp tel:te tgk:tg tgl:tl
tha:th thc:tpo thw:ola thx:oyb tib:bo tie:ras tir:ti tkk:twm tlw:weo tmp:tyj tne:kak tnf:prs ton:to tsf:taj tsn:tn
tso:ts tuk:tk tur:tr twi:tw uig:ug ukr:uk uok:ema urd:ur uzb:uz ven:ve vie:vi vol:vo wel:cy wln:wa wol:wo xba:cax
xho:xh xia:acn xkh:waw xrq:dmw ybd:rki yid:yi yma:lrr ymt:mtm yor:yo yos:zom yuu:yug zha:za zho:zh zir:scv zul:zu
', e'\n '), '\s+')) AS part);
COMMENT ON TABLE language_code IS 'The parts that tags of BCP 47 are made of, by the registry of language subtags, and the codes of ISO 639 that have a shorter one.';
COMMENT ON COLUMN language_code.kind IS 'language, script, region, or renamed: another code for a language.';
COMMENT ON COLUMN language_code.code IS 'The code in lower case.';
COMMENT ON COLUMN language_code.preferred IS 'What a renamed code is now.';

CREATE VIEW languages AS
WITH stated AS (
    SELECT DISTINCT tag, regexp_extract(
        replace(lower(trim(tag)), '_', '-'),
        '^([a-z]{2,3})(?:-([a-z]{3}))?(?:-([a-z]{4}))?(?:-([a-z]{2}|[0-9]{3}))?((?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*(?:-x(?:-[a-z0-9]{1,8})+)?)$',
        ['language', 'extended', 'script', 'region', 'rest']
    ) AS parts
    FROM tag WHERE kind = 'language'
), named AS (
    SELECT tag, parts, coalesce(renamed.preferred, parts.extended) AS extended, parts.script AS script, parts.region AS region,
        CASE WHEN lower(trim(tag)) = 'multilingual' THEN 'mul' ELSE coalesce(shorter.preferred, parts.language) END AS language
    FROM stated
    LEFT JOIN language_code AS shorter ON shorter.kind = 'renamed' AND shorter.code = parts.language
    LEFT JOIN language_code AS renamed ON renamed.kind = 'renamed' AND renamed.code = parts.extended
), checked AS (
    SELECT tag, CASE
            WHEN language = '' THEN 'not a language tag'
            WHEN language NOT IN (SELECT code FROM language_code WHERE kind = 'language') THEN 'no such language: ' || language
            WHEN extended <> '' AND extended NOT IN (SELECT code FROM language_code WHERE kind = 'language')
                THEN 'no such language: ' || extended
            WHEN script <> '' AND script NOT IN (SELECT code FROM language_code WHERE kind = 'script')
                THEN 'no such script: ' || script
            WHEN region <> '' AND region NOT IN (SELECT code FROM language_code WHERE kind = 'region')
                THEN 'no such region: ' || upper(region)
        END AS problem,
        if(extended = '', language, extended) || if(script = '', '', '-' || upper(script[1]) || script[2:])
            || if(region = '', '', '-' || upper(region)) || parts.rest AS language
    FROM named
)
SELECT model_id, if(problem IS NULL, language, NULL) AS language, tag AS stated, problem
FROM tag JOIN checked USING (tag) WHERE kind = 'language';
COMMENT ON VIEW languages IS 'The languages of models as tags of BCP 47, whatever way they are written in.';
COMMENT ON COLUMN languages.language IS 'The tag, e.g. en, pt-BR, zh-Hant; NULL where what is stated is none.';
COMMENT ON COLUMN languages.stated IS 'What the card or the hub says.';
COMMENT ON COLUMN languages.problem IS 'What is wrong with it; NULL where nothing is.';
