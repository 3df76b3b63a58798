-- Which models of several hubs, or under several names, are the same, and what says so.

COMMENT ON COLUMN link.target IS 'An arXiv identifier without version (or the address of a paper that has none), a dataset''s or space''s name, a DOI in lower case, a repository''s address, a model_id, or library#name or repository#name, by kind.';

COMMENT ON COLUMN model.gated IS 'no, auto or manual: whether access has to be asked for; yes where the hub does not say how.';
COMMENT ON COLUMN lineage.source IS 'Where that is said: tags, card, listing (of the hub), recipe or product.';
COMMENT ON COLUMN failure.stage IS 'listing (the record is lost), field (a value of it, stored as NULL), missing (the hub says that it has more models than it lists), card, tensors, config, commits, discussions or file.';

CREATE TABLE identity_kind (kind VARCHAR, strong BOOLEAN, confidence DOUBLE, same VARCHAR, meaning VARCHAR);
INSERT INTO identity_kind VALUES
    ('file', true, 1.0, 'weights', 'Their largest files of weights of one format are equal, byte for byte (SHA-256).'),
    ('link', true, 1.0, 'weights', 'A hub says that one is the other: timm names the repository on the Hugging Face Hub.'),
    ('code', true, 0.9, 'model', 'Both are one name in one repository of code, as their hubs'' own fields and entry points say.'),
    ('library', true, 0.9, 'model', 'Both are one name in one library: an ONNX export, and the model that it says it was exported from. Whether an export has that model''s weights, the ONNX Model Zoo does not say.'),
    ('fingerprint', false, 0.5, 'architecture', 'Their tensors have equal names and shapes, and the models equally many parameters. So have a model and its fine-tunes.'),
    ('architecture', false, 0.5, 'architecture', 'A library calls both architectures by one name, and they have equally many parameters, to ten thousand.'),
    ('mention', false, 0.3, 'work', 'Their pages name one repository of code, and they have one name.'),
    ('paper', false, 0.1, 'work', 'Both name one paper.');
COMMENT ON TABLE identity_kind IS 'The kinds of evidence that two models are the same. An opinion that a study may have to replace: change a row, then identify again.';
COMMENT ON COLUMN identity_kind.kind IS 'The kind, as in identity.';
COMMENT ON COLUMN identity_kind.strong IS 'Whether models are put into one group of same_model because of it.';
COMMENT ON COLUMN identity_kind.confidence IS 'How sure it makes that the two are the same model, 0 to 1.';
COMMENT ON COLUMN identity_kind.same IS 'What is the same: weights, model (the network as published, whatever weights), architecture or work.';
COMMENT ON COLUMN identity_kind.meaning IS 'In words.';

CREATE VIEW identity_evidence AS
WITH living AS (
    SELECT model_id, name, parameters FROM model WHERE deleted_at IS NULL AND hub NOT IN ('zoo', 'made')
), weight_file AS (  -- without the states of optimizers, which may be larger than the model
    SELECT model_id, format, path, bytes, sha256 FROM file
    WHERE format IS NOT NULL
        AND NOT regexp_matches(path, '(^|/)(optimizer|scheduler|scaler|training_args|rng_state|trainer_state|random_states)[^/]*$')
), largest AS (
    FROM weight_file WHERE true
    QUALIFY row_number() OVER (PARTITION BY model_id, format ORDER BY bytes DESC NULLS FIRST, path) = 1
        AND (bytes IS NOT NULL OR count(*) OVER (PARTITION BY model_id, format) = 1)
), evidence AS (
    SELECT model_id, 'file' AS kind, sha256 AS key, path AS evidence FROM largest WHERE sha256 IS NOT NULL
    UNION ALL
    SELECT model_id, 'link', target, source FROM link WHERE kind = 'model'
    UNION ALL
    SELECT DISTINCT target, 'link', target, 'its name' FROM link WHERE kind = 'model'
    UNION ALL
    SELECT model_id, if(starts_with(target, 'github.com/'), 'code', 'library'), lower(target), source
    FROM link WHERE kind = 'known_as'
    UNION ALL
    SELECT model_id, 'fingerprint', fingerprint || ' with ' || parameters || ' parameters', format
    FROM weights WHERE main AND fingerprint IS NOT NULL AND parameters IS NOT NULL
    UNION ALL
    SELECT model_id, 'architecture', lower(target) || ' with ' || round(parameters / 1e6, 2) || ' million parameters', source
    FROM link JOIN living USING (model_id) WHERE kind = 'architecture' AND parameters IS NOT NULL
    UNION ALL
    SELECT model_id, 'mention', lower(regexp_replace(target, '^https?://', '')) || '#' || lower(name), source
    FROM link JOIN living USING (model_id) WHERE kind = 'code'
    UNION ALL
    SELECT model_id, 'paper', target, source FROM link WHERE kind IN ('paper', 'doi')
)
SELECT evidence.* FROM evidence SEMI JOIN living USING (model_id);
COMMENT ON VIEW identity_evidence IS 'By what each mined model can be known elsewhere. Models with equal kind and key are the same by that kind of evidence.';
COMMENT ON COLUMN identity_evidence.kind IS 'The kind of evidence: see identity_kind.';
COMMENT ON COLUMN identity_evidence.key IS 'What the models share: a SHA-256, a model_id, a name in a repository, a paper, ...';
COMMENT ON COLUMN identity_evidence.evidence IS 'Where it is said: the path of the file, the format, or the source of the link.';

CREATE TABLE identity (
    model_id VARCHAR, kind VARCHAR, key VARCHAR, strong BOOLEAN, confidence DOUBLE, evidence VARCHAR
);
COMMENT ON TABLE identity IS 'Evidence that models are the same: those with equal kind and key are. What weightlake identify has found; only what several models share.';
COMMENT ON COLUMN identity.model_id IS 'The model.';
COMMENT ON COLUMN identity.kind IS 'The kind of evidence: see identity_kind.';
COMMENT ON COLUMN identity.key IS 'What the models share: a SHA-256, a model_id, a name in a repository, a paper, ...';
COMMENT ON COLUMN identity.strong IS 'Whether models are put into one group of same_model because of it.';
COMMENT ON COLUMN identity.confidence IS 'How sure it makes that they are the same model, 0 to 1.';
COMMENT ON COLUMN identity.evidence IS 'Where it is said: the path of the file, the format, or the source of the link.';

CREATE TABLE same_model (model_id VARCHAR, group_id VARCHAR);
COMMENT ON TABLE same_model IS 'Models that strong evidence, directly or through others, says are the same. What weightlake identify has found.';
COMMENT ON COLUMN same_model.model_id IS 'The model. One without others is not there.';
COMMENT ON COLUMN same_model.group_id IS 'The first of the names in its group.';

CREATE VIEW identities AS
SELECT one.model_id, other.model_id AS other_id, one.kind, one.key, one.strong, one.confidence, one.evidence,
    other.evidence AS other_evidence
FROM identity AS one JOIN identity AS other ON one.kind = other.kind AND one.key = other.key AND one.model_id <> other.model_id;
COMMENT ON VIEW identities IS 'Pairs of models with what says that they are the same, in both orders. Ask for one model_id, one kind or two hubs: thousands of models may name one paper.';
COMMENT ON COLUMN identities.other_id IS 'The other model.';
COMMENT ON COLUMN identities.other_evidence IS 'Where the other one says it.';

CREATE VIEW same_model_group AS
SELECT group_id, count(*) AS models, list(DISTINCT hub ORDER BY hub) AS hubs,
    min(parameters) AS fewest_parameters, max(parameters) AS most_parameters,
    coalesce(max(parameters) > 1.01 * min(parameters), false) AS disputed
FROM same_model JOIN model USING (model_id) GROUP BY group_id;
COMMENT ON VIEW same_model_group IS 'The groups of same_model: how large, on which hubs, and whether what is known of their models contradicts it.';
COMMENT ON COLUMN same_model_group.models IS 'Models in the group.';
COMMENT ON COLUMN same_model_group.hubs IS 'Their hubs.';
COMMENT ON COLUMN same_model_group.fewest_parameters IS 'Fewest parameters that a hub gives one of them.';
COMMENT ON COLUMN same_model_group.most_parameters IS 'Most parameters that a hub gives one of them.';
COMMENT ON COLUMN same_model_group.disputed IS 'Whether the numbers of parameters differ by more than a hundredth: then a name is wrong, or one leaves out a part, as an auxiliary head.';

-- PTMTorrent's generic record (its ptmSchema.json) for every hub; its required texts are never NULL.
CREATE TABLE hub (hub VARCHAR, name VARCHAR, url VARCHAR, pages VARCHAR);
INSERT INTO hub VALUES
    ('huggingface', 'Hugging Face', 'https://huggingface.co', 'https://huggingface.co'),
    ('modelhub_ai', 'Modelhub.ai', 'https://modelhub.ai', NULL),
    ('modelzoo_co', 'ModelZoo', 'https://modelzoo.co', NULL),
    ('onnx', 'Onnx Model Zoo', 'https://github.com/onnx/models', NULL),
    ('pytorch_hub', 'PyTorch Hub', 'https://pytorch.org/hub', NULL),
    ('timm', 'timm', 'https://github.com/huggingface/pytorch-image-models', NULL),
    ('civitai', 'Civitai', 'https://civitai.com', NULL),
    ('kaggle', 'Kaggle Models', 'https://www.kaggle.com/models', NULL),
    ('modelscope', 'ModelScope', 'https://modelscope.cn', 'https://modelscope.cn/models');
COMMENT ON TABLE hub IS 'The hubs that models are mined from, under the names of PTMTorrent where it has them.';
COMMENT ON COLUMN hub.hub IS 'The name here, the first part of every model_id.';
COMMENT ON COLUMN hub.name IS 'The name that people know.';
COMMENT ON COLUMN hub.url IS 'Its address.';
COMMENT ON COLUMN hub.pages IS 'What stands before a model''s owner/name in the address of its page; NULL where pages are elsewhere (link of kind home).';
COMMENT ON COLUMN link.kind IS 'paper, dataset, code, space, doi, page, demo, home (its page on its hub), model (one of another hub that is the same), known_as (a name that it goes by elsewhere) or architecture (its architecture''s name in a library).';

DROP VIEW ptmtorrent_v1;
CREATE VIEW ptmtorrent_v1 AS
WITH named AS (
    SELECT model_id, list(DISTINCT target ORDER BY target) AS names FROM link WHERE kind = 'dataset' GROUP BY model_id
), papers AS (
    SELECT model_id, list(DISTINCT if(kind = 'doi', target, '10.48550/arXiv.' || target)) AS dois
    FROM link WHERE kind = 'doi' OR (kind = 'paper' AND NOT contains(target, '://')) GROUP BY model_id
), home AS (
    SELECT model_id, min(target) AS url FROM link WHERE kind = 'home' GROUP BY model_id
)
SELECT (md5_number_lower(model.model_id) >> 1)::BIGINT AS id,
    {'ModelHubName': hub.name, 'ModelHubURL': hub.url, 'MetadataFilePath': 'raw/' || hub || '/' || crawl_id,
     'MetadataObjectID': (md5_number_lower(model.model_id) >> 1)::BIGINT} AS ModelHub,
    model.name AS ModelName, coalesce(model.owner, '') AS ModelOwner,
    coalesce(home.url, hub.pages || concat_ws('/', '', model.owner, model.name), hub.url) AS ModelURL,
    coalesce(regexp_replace(home.url, '/[^/]*/?$', ''), hub.pages || concat_ws('/', '', model.owner), hub.url) AS ModelOwnerURL,
    coalesce(list_transform(named.names, lambda dataset: CASE
        WHEN contains(dataset, '://')
            THEN {'DatasetName': dataset, 'DatasetOwner': '', 'DatasetURL': dataset, 'DatasetOwnerURL': ''}
        WHEN hub <> 'huggingface' THEN {'DatasetName': dataset, 'DatasetOwner': '', 'DatasetURL': '', 'DatasetOwnerURL': ''}
        ELSE {'DatasetName': regexp_extract(dataset, '[^/]*$'), 'DatasetOwner': regexp_extract(dataset, '^([^/]*)/', 1),
            'DatasetURL': hub.url || '/datasets/' || dataset,
            'DatasetOwnerURL': rtrim(hub.url || '/' || regexp_extract(dataset, '^([^/]*)/', 1), '/')} END), []) AS Datasets,
    coalesce(papers.dois, []) AS ModelPaperDOIs, coalesce(model.sha, '') AS LatestGitCommitSHA,
    coalesce(model.task, '') AS ModelTask, coalesce(model.architecture, '') AS ModelArchitecture
FROM model JOIN hub USING (hub) LEFT JOIN named USING (model_id) LEFT JOIN papers USING (model_id) LEFT JOIN home USING (model_id)
WHERE model.deleted_at IS NULL;
COMMENT ON VIEW ptmtorrent_v1 IS 'Mined models of every hub as PTMTorrent (2023) publishes them: its generic schema, so that its programs read them.';
COMMENT ON COLUMN ptmtorrent_v1.id IS 'A number made of the model''s name.';
COMMENT ON COLUMN ptmtorrent_v1.ModelHub IS 'The hub''s name and URL, and where its answers lie.';
COMMENT ON COLUMN ptmtorrent_v1.ModelName IS 'Name of the repository under its owner.';
COMMENT ON COLUMN ptmtorrent_v1.ModelOwner IS 'User or organisation, or the family that it belongs to; empty where there is none.';
COMMENT ON COLUMN ptmtorrent_v1.ModelURL IS 'The model''s page; the hub''s where it has none.';
COMMENT ON COLUMN ptmtorrent_v1.ModelOwnerURL IS 'The owner''s page, or what the model''s page stands below.';
COMMENT ON COLUMN ptmtorrent_v1.Datasets IS 'Datasets that it names.';
COMMENT ON COLUMN ptmtorrent_v1.ModelPaperDOIs IS 'DOIs of the papers that it names, those of arXiv as 10.48550/arXiv.<identifier>.';
COMMENT ON COLUMN ptmtorrent_v1.LatestGitCommitSHA IS 'Newest known commit; empty where none is known.';
COMMENT ON COLUMN ptmtorrent_v1.ModelTask IS 'The task; empty where none is stated.';
COMMENT ON COLUMN ptmtorrent_v1.ModelArchitecture IS 'The architecture; empty where none is stated.';

CREATE VIEW filled_beside_ptmtorrent AS
WITH theirs(hub, field, filled) AS (VALUES  -- what its programs (createSchema.py of each hub) put there
    ('huggingface', 'Datasets', 'never'), ('huggingface', 'ModelPaperDOIs', 'where tagged'),
    ('huggingface', 'ModelTask', 'where stated'), ('huggingface', 'ModelArchitecture', 'where stated'),
    ('modelhub_ai', 'Datasets', 'never'), ('modelhub_ai', 'ModelPaperDOIs', 'never'),
    ('modelhub_ai', 'ModelTask', 'always'), ('modelhub_ai', 'ModelArchitecture', 'never'),
    ('modelzoo_co', 'Datasets', 'never'), ('modelzoo_co', 'ModelPaperDOIs', 'never'),
    ('modelzoo_co', 'ModelTask', 'always'), ('modelzoo_co', 'ModelArchitecture', 'never'),
    ('onnx', 'Datasets', 'never'), ('onnx', 'ModelPaperDOIs', 'never'),
    ('onnx', 'ModelTask', 'always'), ('onnx', 'ModelArchitecture', 'never'),
    ('pytorch_hub', 'Datasets', 'never'), ('pytorch_hub', 'ModelPaperDOIs', 'never'),
    ('pytorch_hub', 'ModelTask', 'never'), ('pytorch_hub', 'ModelArchitecture', 'never')
), record AS (
    SELECT hub.hub, len(Datasets) > 0 AS Datasets, len(ModelPaperDOIs) > 0 AS ModelPaperDOIs, ModelOwner <> '' AS ModelOwner,
        LatestGitCommitSHA <> '' AS LatestGitCommitSHA, ModelTask <> '' AS ModelTask, ModelArchitecture <> '' AS ModelArchitecture
    FROM ptmtorrent_v1 JOIN hub ON hub.name = ModelHub.ModelHubName
), shares AS (
    SELECT hub, count(*) AS models, avg(COLUMNS(* EXCLUDE (hub))::INTEGER) FROM record GROUP BY hub
), ours AS (
    UNPIVOT shares ON COLUMNS(* EXCLUDE (hub, models)) INTO NAME field VALUE filled_share
)
SELECT hub, models, field, filled_share,
    coalesce(theirs.filled, if(hub IN (SELECT hub FROM theirs), 'always', NULL)) AS ptmtorrent
FROM ours LEFT JOIN theirs USING (hub, field);
COMMENT ON VIEW filled_beside_ptmtorrent IS 'How many of the models of each hub have the fields of PTMTorrent''s record filled that a model may lack, beside what PTMTorrent itself fills.';
COMMENT ON COLUMN filled_beside_ptmtorrent.models IS 'Models of that hub that exist.';
COMMENT ON COLUMN filled_beside_ptmtorrent.field IS 'A field of ptmtorrent_v1.';
COMMENT ON COLUMN filled_beside_ptmtorrent.filled_share IS 'Share of them for which it is filled, 0 to 1.';
COMMENT ON COLUMN filled_beside_ptmtorrent.ptmtorrent IS 'Whether PTMTorrent''s programs fill it: always, never, or where a tag or field of the hub has it; NULL for hubs that it has not mined.';

CREATE VIEW imagenet_top1 AS
WITH result AS (
    SELECT model_id, if(contains(lower(metric), 'err'), 100 - value, if(value <= 1, 100 * value, value)) AS top1 FROM evaluation
    WHERE regexp_matches(dataset, '^imagenet(?:[-_ ]?(?:1k|2012))?(?: \(ILSVRC.?2012\))?$', 'i')
        AND regexp_matches(metric, '^(?:acc|accuracy|top[-_ ]?1\b.*)$', 'i')
        AND (split IS NULL OR split IN ('validation', 'val', 'test'))
        AND value BETWEEN 0 AND 100
), counted AS (
    SELECT group_id, max(parameters) AS parameters FROM same_model JOIN model USING (model_id) GROUP BY group_id
    HAVING max(parameters) <= 1.01 * min(parameters)
)
SELECT model_id, hub, max(top1) AS top1, coalesce(model.parameters, counted.parameters) AS parameters,
    model.parameters IS NULL AND counted.parameters IS NOT NULL AS counted_elsewhere
FROM result JOIN model USING (model_id) LEFT JOIN same_model USING (model_id) LEFT JOIN counted USING (group_id)
WHERE model.deleted_at IS NULL
GROUP BY ALL;
COMMENT ON VIEW imagenet_top1 IS 'Top-1 accuracy on ImageNet-1k that any hub publishes for a model, whether it says so as an accuracy or an error, a share or per cent; the best where images were prepared in several ways.';
COMMENT ON COLUMN imagenet_top1.top1 IS 'Top-1 accuracy, per cent.';
COMMENT ON COLUMN imagenet_top1.parameters IS 'Parameters of the model, or of the same model on another hub, as weightlake identify has found; NULL where no hub says.';
COMMENT ON COLUMN imagenet_top1.counted_elsewhere IS 'Whether the number of parameters is another hub''s.';
