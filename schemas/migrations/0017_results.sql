-- How exact numbers of parameters are, which rows of results are nobody's, and what follows for the views.

ALTER TABLE model ADD COLUMN parameters_rounded_to BIGINT;
COMMENT ON COLUMN model.parameters_rounded_to IS 'What parameters was rounded to by its source: 10,000 where it says 25.56 million; NULL where parameters is exact.';
COMMENT ON COLUMN failure.stage IS 'listing (the record is lost), field (a value of it, stored as NULL), missing (the hub says that it has more models than it lists), result (a row of published results that no model is named by), card, tensors, config, commits, discussions or file.';

DROP VIEW models;
CREATE VIEW models AS
WITH curve AS (
    SELECT model_id,
        max_by(value, epoch) FILTER (split = 'train' AND metric = 'loss') AS train_loss,
        max_by(value, epoch) FILTER (split = 'train' AND metric = 'accuracy') AS train_accuracy,
        max_by(value, epoch) FILTER (split = 'validation' AND metric = 'accuracy') AS validation_accuracy,
        max_by(value, epoch) FILTER (split = 'test' AND metric = 'accuracy') AS test_accuracy
    FROM training GROUP BY model_id
), measured AS (
    SELECT model_id,
        max_by(value, measured_at) FILTER (split = 'validation') AS validation_accuracy,
        max_by(value, measured_at) FILTER (split = 'test') AS test_accuracy
    FROM measurement WHERE metric = 'accuracy' AND epoch IS NULL GROUP BY model_id
)
SELECT model.model_id,
    CASE model.hub WHEN 'zoo' THEN 'trained' WHEN 'made' THEN 'made' ELSE 'mined' END AS origin,
    model.* EXCLUDE (model_id, crawl_id),
    card.model_id IS NOT NULL AS has_card, card.problems AS card_problems,
    member.population_id, population.name AS population, population.dataset,
    member.width, member.batch_size, member.seed, member.init_seed, member.learning_rate, member.weight_decay,
    member.label_noise, member.epochs, member.state,
    curve.train_loss, curve.train_accuracy,
    coalesce(curve.validation_accuracy, measured.validation_accuracy) AS validation_accuracy,
    coalesce(curve.test_accuracy, measured.test_accuracy) AS test_accuracy,
    product.method
FROM model
LEFT JOIN card USING (model_id)
LEFT JOIN member USING (model_id)
LEFT JOIN population USING (population_id)
LEFT JOIN curve USING (model_id)
LEFT JOIN measured USING (model_id)
LEFT JOIN product USING (model_id);

COMMENT ON VIEW models IS 'Every model, mined, trained or made, one row each, with what is known of it: start here.';
COMMENT ON COLUMN models.origin IS 'mined, trained or made.';
COMMENT ON COLUMN models.has_card IS 'Whether its model card is in this lake.';
COMMENT ON COLUMN models.card_problems IS 'What is wrong with the card.';
COMMENT ON COLUMN models.population IS 'Name of its population''s recipe.';
COMMENT ON COLUMN models.dataset IS 'Dataset that its population was trained on.';
COMMENT ON COLUMN models.train_loss IS 'Training loss of the last epoch, nats.';
COMMENT ON COLUMN models.train_accuracy IS 'Training accuracy of the last epoch, 0 to 1.';
COMMENT ON COLUMN models.validation_accuracy IS 'Accuracy on the validation split, 0 to 1: after training, or as a learner measured it.';
COMMENT ON COLUMN models.test_accuracy IS 'Accuracy on the test split, 0 to 1: after training, or as a learner measured it.';
COMMENT ON COLUMN models.method IS 'How a made model was made.';

UPDATE identity_kind SET meaning = 'A library calls both architectures by one name, and they have equally many parameters.' WHERE kind = 'architecture';
INSERT INTO identity_kind VALUES
    ('rounded', false, 0.4, 'architecture', 'A library calls both architectures by one name, and their numbers of parameters, some of which are rounded, agree to ten thousand.');

DROP VIEW identity_evidence;
CREATE VIEW identity_evidence AS
WITH living AS (
    SELECT model_id, name, parameters, parameters_rounded_to FROM model
    WHERE deleted_at IS NULL AND hub NOT IN ('zoo', 'made')
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
    SELECT model_id, 'architecture', lower(target) || ' with ' || parameters || ' parameters', source
    FROM link JOIN living USING (model_id)
    WHERE kind = 'architecture' AND parameters IS NOT NULL AND parameters_rounded_to IS NULL
    UNION ALL
    SELECT model_id, 'rounded', lower(target) || ' with ' || round(parameters / 1e6, 2) || ' million parameters' AS key, source
    FROM link JOIN living USING (model_id)
    WHERE kind = 'architecture' AND parameters IS NOT NULL AND coalesce(parameters_rounded_to, 1) <= 10000
    QUALIFY bool_or(parameters_rounded_to IS NOT NULL) OVER (PARTITION BY key)
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

DROP VIEW same_model_group;
CREATE VIEW same_model_group AS
SELECT group_id, count(*) AS models, list(DISTINCT hub ORDER BY hub) AS hubs,
    min(parameters) AS fewest_parameters, max(parameters) AS most_parameters,
    coalesce(
        max(parameters - coalesce(parameters_rounded_to, 0)) > 1.01 * min(parameters + coalesce(parameters_rounded_to, 0)), false
    ) AS disputed
FROM same_model JOIN model USING (model_id) GROUP BY group_id;
COMMENT ON VIEW same_model_group IS 'The groups of same_model: how large, on which hubs, and whether what is known of their models contradicts it.';
COMMENT ON COLUMN same_model_group.models IS 'Models in the group.';
COMMENT ON COLUMN same_model_group.hubs IS 'Their hubs.';
COMMENT ON COLUMN same_model_group.fewest_parameters IS 'Fewest parameters that a hub gives one of them.';
COMMENT ON COLUMN same_model_group.most_parameters IS 'Most parameters that a hub gives one of them.';
COMMENT ON COLUMN same_model_group.disputed IS 'Whether the numbers of parameters differ by more than a hundredth, and more than they are rounded: then a name is wrong, or one leaves out a part, as an auxiliary head.';

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
    {'ModelHubName': hub.name, 'ModelHubURL': hub.url, 'MetadataFilePath': CASE
        WHEN crawl.hub = model.hub AND crawl.source LIKE 'http%' THEN 'raw/' || crawl.hub || '/' || crawl_id
        ELSE coalesce(crawl.source, '') END,
     'MetadataObjectID': (md5_number_lower(model.model_id) >> 1)::BIGINT} AS ModelHub,
    model.name AS ModelName, coalesce(model.owner, '') AS ModelOwner,
    coalesce(home.url, hub.pages || concat_ws('/', '', model.owner, model.name), hub.url) AS ModelURL,
    coalesce(regexp_replace(home.url, '/[^/]*/?$', ''), hub.pages || concat_ws('/', '', model.owner), hub.url) AS ModelOwnerURL,
    coalesce(list_transform(named.names, lambda dataset: CASE
        WHEN contains(dataset, '://')
            THEN {'DatasetName': dataset, 'DatasetOwner': '', 'DatasetURL': dataset, 'DatasetOwnerURL': ''}
        WHEN model.hub <> 'huggingface' THEN {'DatasetName': dataset, 'DatasetOwner': '', 'DatasetURL': '', 'DatasetOwnerURL': ''}
        ELSE {'DatasetName': regexp_extract(dataset, '[^/]*$'), 'DatasetOwner': regexp_extract(dataset, '^([^/]*)/', 1),
            'DatasetURL': hub.url || '/datasets/' || dataset,
            'DatasetOwnerURL': rtrim(hub.url || '/' || regexp_extract(dataset, '^([^/]*)/', 1), '/')} END), []) AS Datasets,
    coalesce(papers.dois, []) AS ModelPaperDOIs, coalesce(model.sha, '') AS LatestGitCommitSHA,
    coalesce(model.task, '') AS ModelTask, coalesce(model.architecture, '') AS ModelArchitecture
FROM model JOIN hub ON hub.hub = model.hub LEFT JOIN crawl USING (crawl_id) LEFT JOIN named USING (model_id) LEFT JOIN papers USING (model_id) LEFT JOIN home USING (model_id)
WHERE model.deleted_at IS NULL;
COMMENT ON VIEW ptmtorrent_v1 IS 'Mined models of every hub as PTMTorrent (2023) publishes them: its generic schema, so that its programs read them.';
COMMENT ON COLUMN ptmtorrent_v1.id IS 'A number made of the model''s name.';
COMMENT ON COLUMN ptmtorrent_v1.ModelHub IS 'The hub''s name and URL, and where its answers lie: a folder of this lake, or the archive, folder or file that they were read from; empty where that is not told.';
COMMENT ON COLUMN ptmtorrent_v1.ModelName IS 'Name of the repository under its owner.';
COMMENT ON COLUMN ptmtorrent_v1.ModelOwner IS 'User or organisation, or the family that it belongs to; empty where there is none.';
COMMENT ON COLUMN ptmtorrent_v1.ModelURL IS 'The model''s page; the hub''s where it has none.';
COMMENT ON COLUMN ptmtorrent_v1.ModelOwnerURL IS 'The owner''s page, or what the model''s page stands below.';
COMMENT ON COLUMN ptmtorrent_v1.Datasets IS 'Datasets that it names.';
COMMENT ON COLUMN ptmtorrent_v1.ModelPaperDOIs IS 'DOIs of the papers that it names, those of arXiv as 10.48550/arXiv.<identifier>.';
COMMENT ON COLUMN ptmtorrent_v1.LatestGitCommitSHA IS 'Newest known commit; empty where none is known.';
COMMENT ON COLUMN ptmtorrent_v1.ModelTask IS 'The task; empty where none is stated.';
COMMENT ON COLUMN ptmtorrent_v1.ModelArchitecture IS 'The architecture; empty where none is stated.';

DROP VIEW imagenet_top1;
CREATE VIEW imagenet_top1 AS
WITH scaled AS (  -- to per cent
    SELECT model_id, contains(lower(metric), 'err') AS is_error,
        if(value <= 1 AND NOT contains(concat(metric, value_text), '%'), 100 * value, value) AS value
    FROM evaluation
    WHERE regexp_matches(dataset, '^(?:imagenet(?:[-_ ]?(?:1k|2012))?(?: \(ILSVRC.?2012\))?|ilsvrc[-_ ]?201[234])$', 'i')
        AND regexp_matches(metric, '^(?:acc|accuracy|top[-_ ]?1\b.*)$', 'i')
        AND (split IS NULL OR split IN ('validation', 'val', 'test'))
        AND value BETWEEN 0 AND 100
), counted AS (
    SELECT group_id, min_by(
        {'number': parameters, 'rounded_to': parameters_rounded_to},
        {'coarse': coalesce(parameters_rounded_to, 0), 'fewer': -parameters}
    ) AS parameters
    FROM same_model JOIN same_model_group USING (group_id) JOIN model USING (model_id)
    WHERE parameters IS NOT NULL AND NOT disputed GROUP BY group_id
)
SELECT model_id, hub, max(if(is_error, 100 - value, value)) AS top1,
    coalesce(model.parameters, counted.parameters.number) AS parameters,
    if(model.parameters IS NULL, counted.parameters.rounded_to, parameters_rounded_to) AS parameters_rounded_to,
    model.parameters IS NULL AND counted.parameters IS NOT NULL AS counted_elsewhere
FROM scaled JOIN model USING (model_id) LEFT JOIN same_model USING (model_id) LEFT JOIN counted USING (group_id)
WHERE model.deleted_at IS NULL
GROUP BY ALL;
COMMENT ON VIEW imagenet_top1 IS 'Top-1 accuracy on ImageNet-1k, the classification task of ILSVRC 2012 to 2014, that any hub publishes for a model, whether it says so as an accuracy or an error, a share or per cent; the best where images were prepared in several ways.';
COMMENT ON COLUMN imagenet_top1.top1 IS 'Top-1 accuracy, per cent.';
COMMENT ON COLUMN imagenet_top1.parameters IS 'Parameters of the model, as its hub says or counted from its weights, or else of the same model on another hub, as weightlake identify has found; NULL where none is known.';
COMMENT ON COLUMN imagenet_top1.parameters_rounded_to IS 'What that number is rounded to; NULL where it is exact.';
COMMENT ON COLUMN imagenet_top1.counted_elsewhere IS 'Whether the number of parameters is another hub''s.';
