-- Lineage, and the questions that a lake answers out of the box.

-- A look-up by name reads a column of strings from end to end: every name begins with "huggingface:", and a row group's
-- smallest and largest value keep twelve letters. With these it touches the rows it wants, which takes a millisecond.
CREATE INDEX model_by_id ON model (model_id);
CREATE INDEX card_by_model ON card (model_id);
CREATE INDEX link_by_model ON link (model_id);
CREATE INDEX lineage_by_child ON lineage (child_id);
CREATE INDEX lineage_by_parent ON lineage (parent_id);

-- In both, what was found last stands on the small side of a semi-join, so that each step uses the index. DuckDB takes a
-- recursion for millions of rows and a list for few, so the list lets whatever is joined to the answer use an index too.
CREATE MACRO ancestors(id, levels := 100) AS TABLE
WITH RECURSIVE found(model_id, depth) USING KEY (model_id) AS (
    SELECT id, 0
    UNION
    SELECT parent_id, (SELECT max(depth) + 1 FROM found) FROM lineage
    WHERE child_id IN (SELECT model_id FROM found WHERE depth < levels)
        AND parent_id NOT IN (SELECT model_id FROM recurring.found)
)
SELECT reached.model_id, reached.depth
FROM (SELECT unnest(list({'model_id': model_id, 'depth': depth})) AS reached FROM found WHERE depth > 0);
COMMENT ON MACRO TABLE ancestors IS 'The models that a model comes from, each with the number of steps to it, the fewest where there are several ways. Cycles end where they close; levels limits the steps.';

CREATE MACRO descendants(id, levels := 100) AS TABLE
WITH RECURSIVE found(model_id, depth) USING KEY (model_id) AS (
    SELECT id, 0
    UNION
    SELECT child_id, (SELECT max(depth) + 1 FROM found) FROM lineage
    WHERE parent_id IN (SELECT model_id FROM found WHERE depth < levels)
        AND child_id NOT IN (SELECT model_id FROM recurring.found)
)
SELECT reached.model_id, reached.depth
FROM (SELECT unnest(list({'model_id': model_id, 'depth': depth})) AS reached FROM found WHERE depth > 0);
COMMENT ON MACRO TABLE descendants IS 'The models that come from a model, each with the number of steps from it, the fewest where there are several ways. Cycles end where they close; levels limits the steps.';

CREATE VIEW lineage_tree AS
WITH RECURSIVE tree(model_id, ancestor_id, depth) AS (
    SELECT child_id, parent_id, 1 FROM lineage WHERE child_id <> parent_id
    UNION
    SELECT tree.model_id, lineage.parent_id, tree.depth + 1
    FROM tree JOIN lineage ON lineage.child_id = tree.ancestor_id
    WHERE tree.depth < 32 AND lineage.parent_id <> tree.model_id AND lineage.parent_id <> lineage.child_id
)
SELECT model_id, ancestor_id, min(depth) AS depth FROM tree GROUP BY ALL;
COMMENT ON VIEW lineage_tree IS 'Every model with every model that it comes from, up to 32 steps away. For one model, ancestors and descendants are quicker.';
COMMENT ON COLUMN lineage_tree.model_id IS 'The model.';
COMMENT ON COLUMN lineage_tree.ancestor_id IS 'A model that it comes from.';
COMMENT ON COLUMN lineage_tree.depth IS 'Steps between the two, the fewest where there are several ways.';

CREATE VIEW lineage_problems AS
WITH RECURSIVE edge AS MATERIALIZED (
    SELECT DISTINCT child_id, parent_id FROM lineage WHERE child_id <> parent_id
), inside AS MATERIALIZED (
    SELECT child_id, parent_id FROM edge
    WHERE child_id IN (SELECT parent_id FROM edge) AND parent_id IN (SELECT child_id FROM edge)
), core AS MATERIALIZED (
    SELECT child_id, parent_id FROM inside
    WHERE child_id IN (SELECT parent_id FROM inside) AND parent_id IN (SELECT child_id FROM inside)
), reached(model_id, ancestor_id) AS (
    SELECT child_id, parent_id FROM core
    UNION
    SELECT reached.model_id, core.parent_id FROM reached JOIN core ON core.child_id = reached.ancestor_id
)
SELECT child_id, parent_id, relation, source, 'self-parent' AS problem FROM lineage WHERE child_id = parent_id
UNION ALL
SELECT child_id, parent_id, relation, source, 'parent unknown' FROM lineage
WHERE parent_id NOT LIKE 'init:%' AND parent_id NOT IN (SELECT model_id FROM model WHERE model_id IS NOT NULL)
UNION ALL
SELECT child_id, parent_id, relation, source, 'cycle' FROM lineage
WHERE (parent_id, child_id) IN (SELECT model_id, ancestor_id FROM reached) AND child_id <> parent_id;
COMMENT ON VIEW lineage_problems IS 'Rows of lineage that cannot be right, which are kept all the same.';
COMMENT ON COLUMN lineage_problems.problem IS 'self-parent, parent unknown (this lake has no such model) or cycle (the parent comes from the child as well).';

CREATE VIEW families AS
WITH RECURSIVE tree(root_id, model_id, depth) AS (
    SELECT DISTINCT parent_id, parent_id, 0 FROM lineage WHERE parent_id NOT IN (SELECT child_id FROM lineage)
    UNION
    SELECT tree.root_id, lineage.child_id, tree.depth + 1
    FROM tree JOIN lineage ON lineage.parent_id = tree.model_id
    WHERE tree.depth < 32 AND lineage.child_id <> lineage.parent_id
)
SELECT root_id, count(DISTINCT model_id) - 1 AS descendants, max(depth) AS depth FROM tree GROUP BY root_id;
COMMENT ON VIEW families IS 'Every model that others come from and that comes from none: how many come from it, and over how many steps.';
COMMENT ON COLUMN families.root_id IS 'The model; it need not be in the lake.';
COMMENT ON COLUMN families.descendants IS 'Models that come from it, over any number of steps.';
COMMENT ON COLUMN families.depth IS 'Steps to the farthest of them on the longest way, at most 32.';

CREATE VIEW quantizations AS
SELECT parent_id AS base_id, count(*) AS quantizations, count(DISTINCT child.owner) AS owners,
    sum(child.downloads)::BIGINT AS downloads
FROM (SELECT DISTINCT child_id, parent_id FROM lineage WHERE relation = 'quantized')
LEFT JOIN model AS child ON child.model_id = child_id
GROUP BY parent_id;
COMMENT ON VIEW quantizations IS 'Every model that others were quantized from.';
COMMENT ON COLUMN quantizations.base_id IS 'The model; it need not be in the lake.';
COMMENT ON COLUMN quantizations.quantizations IS 'Models that were quantized from it directly.';
COMMENT ON COLUMN quantizations.owners IS 'Users and organisations that own them.';
COMMENT ON COLUMN quantizations.downloads IS 'Downloads of all of them in the last 30 days.';

CREATE VIEW license_drift AS
SELECT 'changed' AS how, event.model_id, event.model_id AS from_id, event.before, event.after, event.observed_at
FROM event WHERE kind = 'license'
UNION ALL
SELECT DISTINCT 'inherited', child.model_id, parent.model_id, parent.license, child.license, child.created_at
FROM lineage JOIN model AS child ON child.model_id = child_id JOIN model AS parent ON parent.model_id = parent_id
WHERE child.license IS DISTINCT FROM parent.license AND child_id <> parent_id;
COMMENT ON VIEW license_drift IS 'Where a licence became another one: on one model between two crawls, or from a parent to its child.';
COMMENT ON COLUMN license_drift.how IS 'changed (the model stated another one before) or inherited (its parent states another one).';
COMMENT ON COLUMN license_drift.model_id IS 'The model.';
COMMENT ON COLUMN license_drift.from_id IS 'Its parent; the model itself where its own licence changed.';
COMMENT ON COLUMN license_drift.before IS 'The licence that it was; NULL where none was stated.';
COMMENT ON COLUMN license_drift.after IS 'The licence that it is; NULL where none is stated.';
COMMENT ON COLUMN license_drift.observed_at IS 'When the change was seen, or the child created (UTC).';

CREATE VIEW coverage_beside_peatmoss AS
WITH published(field, missing_2023, models_2023) AS (VALUES
    ('library', 97743, 234051), ('task', 101397, 234051), ('config.json', 113155, 234051),
    ('model_type', 128963, 234051), ('architecture', 130167, 234051), ('tokenizer_config.json', 143493, 234051),
    ('license', 157167, 234051), ('model-index', 180552, 234051), ('datasets', 204341, 234051),
    ('language', 204613, 234051), ('preprocessor_config.json', 219746, 234051),
    ('generation_config.json', 220190, 234051), ('adapter_config.json', 229566, 234051), ('base_model', 233121, 234051)
), mined AS (
    SELECT task, library, license, architecture, model_type FROM model WHERE hub = 'huggingface' AND deleted_at IS NULL
), elsewhere AS MATERIALIZED (
    SELECT model_id FROM model WHERE hub <> 'huggingface' OR deleted_at IS NOT NULL
), said(field, model_id) AS (
    SELECT 'model-index', model_id FROM evaluation WHERE source = 'model-index'
    UNION ALL SELECT 'datasets', model_id FROM link WHERE kind = 'dataset'
    UNION ALL SELECT 'language', model_id FROM tag WHERE kind = 'language'
    UNION ALL SELECT 'base_model', child_id FROM lineage
), stated AS (
    SELECT 'library' AS field, count(library) AS models FROM mined
    UNION ALL SELECT 'task', count(task) FROM mined
    UNION ALL SELECT 'license', count(license) FROM mined
    UNION ALL SELECT 'architecture', count(architecture) FROM mined
    UNION ALL SELECT 'model_type', count(model_type) FROM mined
    UNION ALL SELECT field, count(DISTINCT model_id) FROM said ANTI JOIN elsewhere USING (model_id) GROUP BY field
    UNION ALL SELECT path, count(*) FROM file ANTI JOIN elsewhere USING (model_id)
    WHERE path IN ('config.json', 'tokenizer_config.json', 'preprocessor_config.json', 'generation_config.json', 'adapter_config.json')
    GROUP BY path
)
SELECT field, missing_2023 / models_2023 AS peatmoss_missing_share,
    1 - coalesce(stated.models, 0) / nullif((SELECT count(*) FROM mined), 0) AS missing_share,
    (SELECT count(*) FROM mined) AS models
FROM published LEFT JOIN stated USING (field);
COMMENT ON VIEW coverage_beside_peatmoss IS 'What models of the Hugging Face Hub leave out, beside what those of PeaTMOSS left out in 2023 (HF_none_freq.sql of its artifact: 234,051 models).';
COMMENT ON COLUMN coverage_beside_peatmoss.field IS 'A column of model, something that a model may have, or a file that it may have.';
COMMENT ON COLUMN coverage_beside_peatmoss.peatmoss_missing_share IS 'Share of the 234,051 models of PeaTMOSS without it, 0 to 1.';
COMMENT ON COLUMN coverage_beside_peatmoss.missing_share IS 'Share of this lake''s models of that hub without it, 0 to 1; NULL where it has none.';
COMMENT ON COLUMN coverage_beside_peatmoss.models IS 'This lake''s models of that hub that exist.';

CREATE VIEW documentation_trend AS
SELECT model.hub, date_trunc('month', coalesce(model.created_at, model.modified_at)) AS month, count(*) AS models,
    count(documentation.model_id) / count(*) AS card_share, avg(documentation.score) AS score,
    median(documentation.words) AS words
FROM model LEFT JOIN documentation USING (model_id)
WHERE model.deleted_at IS NULL AND model.hub NOT IN ('zoo', 'made')
GROUP BY ALL;
COMMENT ON VIEW documentation_trend IS 'How well models are documented, by the month in which they were created (last changed, where that is not known).';
COMMENT ON COLUMN documentation_trend.month IS 'First moment of the month (UTC); NULL where no time is known.';
COMMENT ON COLUMN documentation_trend.models IS 'Models of that month that exist.';
COMMENT ON COLUMN documentation_trend.card_share IS 'Share of them whose card is in this lake, 0 to 1.';
COMMENT ON COLUMN documentation_trend.score IS 'Completeness of those cards, mean, 0 to 1: see docs/documentation_score.md.';
COMMENT ON COLUMN documentation_trend.words IS 'Words that count in the card in the middle.';

CREATE VIEW models_by_month AS
SELECT hub, date_trunc('month', coalesce(created_at, modified_at)) AS month, task, library, count(*) AS models
FROM model WHERE deleted_at IS NULL AND hub NOT IN ('zoo', 'made') GROUP BY ALL;
COMMENT ON VIEW models_by_month IS 'Models by the month in which they were created (last changed, where that is not known), their task and their library.';
COMMENT ON COLUMN models_by_month.month IS 'First moment of the month (UTC); NULL where no time is known.';
COMMENT ON COLUMN models_by_month.models IS 'Models of that month, task and library that exist.';

CREATE VIEW download_concentration AS
WITH counted AS (
    SELECT hub, downloads, count(*) AS models FROM model
    WHERE downloads IS NOT NULL AND deleted_at IS NULL GROUP BY ALL
), ordered AS (
    SELECT *, sum(models) OVER up AS up_to, sum(models) OVER down AS down_to FROM counted
    WINDOW up AS (PARTITION BY hub ORDER BY downloads), down AS (PARTITION BY hub ORDER BY downloads DESC)
), placed AS (
    SELECT *, models * (up_to - (models - 1) / 2) AS ranks, sum(models) OVER (PARTITION BY hub) AS everyone FROM ordered
)
SELECT hub, sum(models)::BIGINT AS models, sum(downloads * models)::BIGINT AS downloads,
    2 * sum(ranks * downloads) / (sum(models) * nullif(sum(downloads * models), 0)) - (sum(models) + 1) / sum(models) AS gini,
    sum(downloads * least(models, greatest(0, ceil(everyone * 0.01) - (down_to - models)))) / nullif(sum(downloads * models), 0) AS top_percent_share,
    coalesce(sum(models) FILTER (downloads = 0), 0) / sum(models) AS never_downloaded_share
FROM placed GROUP BY hub;
COMMENT ON VIEW download_concentration IS 'How unevenly the downloads of the last 30 days spread over a hub''s models.';
COMMENT ON COLUMN download_concentration.models IS 'Models whose downloads are known.';
COMMENT ON COLUMN download_concentration.downloads IS 'Their downloads in all.';
COMMENT ON COLUMN download_concentration.gini IS 'Gini coefficient of the downloads: 0 where all models have the same, near 1 where one has all.';
COMMENT ON COLUMN download_concentration.top_percent_share IS 'Share of the downloads that go to the most downloaded 1 % of the models (rounded up), 0 to 1.';
COMMENT ON COLUMN download_concentration.never_downloaded_share IS 'Share of the models without a download, 0 to 1.';

CREATE VIEW download_series AS
SELECT model_id, observed_at, downloads, downloads - lag(downloads) OVER earlier AS change,
    date_diff('second', lag(observed_at) OVER earlier, observed_at) / 86400 AS days
FROM observation WHERE downloads IS NOT NULL
WINDOW earlier AS (PARTITION BY model_id ORDER BY observed_at);
COMMENT ON VIEW download_series IS 'Downloads of a model over time, as this lake has seen them.';
COMMENT ON COLUMN download_series.downloads IS 'Downloads of the 30 days before.';
COMMENT ON COLUMN download_series.change IS 'How many more than when it was seen before; NULL the first time.';
COMMENT ON COLUMN download_series.days IS 'Days since it was seen before; NULL the first time.';

-- PTMTorrent's generic record (its ptmSchema.json), whose required texts are never NULL.
CREATE VIEW ptmtorrent_v1 AS
WITH place(hub, hub_name, url) AS (VALUES ('huggingface', 'HuggingFace', 'https://huggingface.co')),
named AS (
    SELECT model_id, list(target ORDER BY target) AS names FROM link WHERE kind = 'dataset' GROUP BY model_id
), papers AS (
    SELECT model_id, list(DISTINCT if(kind = 'doi', target, '10.48550/arXiv.' || target)) AS dois
    FROM link WHERE kind IN ('doi', 'paper') GROUP BY model_id
)
SELECT (md5_number_lower(model.model_id) >> 1)::BIGINT AS id,
    {'ModelHubName': hub_name, 'ModelHubURL': place.url, 'MetadataFilePath': 'raw/' || hub || '/' || crawl_id,
     'MetadataObjectID': (md5_number_lower(model.model_id) >> 1)::BIGINT} AS ModelHub,
    model.name AS ModelName, coalesce(model.owner, '') AS ModelOwner,
    concat_ws('/', place.url, model.owner, model.name) AS ModelURL, concat_ws('/', place.url, model.owner) AS ModelOwnerURL,
    coalesce(list_transform(named.names, lambda dataset: {
        'DatasetName': regexp_extract(dataset, '[^/]*$'), 'DatasetOwner': regexp_extract(dataset, '^([^/]*)/', 1),
        'DatasetURL': place.url || '/datasets/' || dataset,
        'DatasetOwnerURL': rtrim(place.url || '/' || regexp_extract(dataset, '^([^/]*)/', 1), '/')}), []) AS Datasets,
    coalesce(papers.dois, []) AS ModelPaperDOIs, coalesce(model.sha, '') AS LatestGitCommitSHA,
    coalesce(model.task, '') AS ModelTask, coalesce(model.architecture, '') AS ModelArchitecture
FROM model JOIN place USING (hub) LEFT JOIN named USING (model_id) LEFT JOIN papers USING (model_id)
WHERE model.deleted_at IS NULL;
COMMENT ON VIEW ptmtorrent_v1 IS 'Mined models as PTMTorrent (2023) publishes them: its generic schema, so that its programs read them.';
COMMENT ON COLUMN ptmtorrent_v1.id IS 'A number made of the model''s name.';
COMMENT ON COLUMN ptmtorrent_v1.ModelHub IS 'The hub''s name and URL, and where its answers lie.';
COMMENT ON COLUMN ptmtorrent_v1.ModelName IS 'Name of the repository under its owner.';
COMMENT ON COLUMN ptmtorrent_v1.ModelOwner IS 'User or organisation; empty where there is none.';
COMMENT ON COLUMN ptmtorrent_v1.ModelURL IS 'The model''s page.';
COMMENT ON COLUMN ptmtorrent_v1.ModelOwnerURL IS 'The owner''s page.';
COMMENT ON COLUMN ptmtorrent_v1.Datasets IS 'Datasets that it names.';
COMMENT ON COLUMN ptmtorrent_v1.ModelPaperDOIs IS 'DOIs of the papers that it names, those of arXiv as 10.48550/arXiv.<identifier>.';
COMMENT ON COLUMN ptmtorrent_v1.LatestGitCommitSHA IS 'Newest known commit; empty where none is known.';
COMMENT ON COLUMN ptmtorrent_v1.ModelTask IS 'The task; empty where none is stated.';
COMMENT ON COLUMN ptmtorrent_v1.ModelArchitecture IS 'The architecture; empty where none is stated.';

-- The core tables of PeaTMOSS (PeaTMOSS.sql), for queries that were written for it: USE peatmoss; SELECT ...
-- Its numbers are made of names, so that nothing has to be sorted or looked up to number two million models; by MD5,
-- because DuckDB's own hash gives names that differ in two letters the same number (36 of two million).
CREATE SCHEMA peatmoss;
CREATE MACRO peatmoss.number(name) AS (md5_number_lower(name) >> 1)::BIGINT;
CREATE VIEW peatmoss.model_hub AS
SELECT CASE hub WHEN 'huggingface' THEN 1 ELSE peatmoss.number(hub) END AS id,
    CASE hub WHEN 'huggingface' THEN 'HuggingFace' ELSE hub END AS name,
    CASE hub WHEN 'huggingface' THEN 'https://huggingface.co/models' END AS url
FROM (SELECT DISTINCT hub FROM main.model WHERE hub NOT IN ('zoo', 'made', 'local'));
CREATE VIEW peatmoss.model AS
SELECT peatmoss.number(model_id) AS id, concat_ws('/', owner, name) AS context_id,
    CASE hub WHEN 'huggingface' THEN 1 ELSE peatmoss.number(hub) END AS model_hub_id, sha,
    CASE hub WHEN 'huggingface' THEN concat_ws('/', 'https://huggingface.co', owner, name) END AS repo_url,
    downloads, likes, (location IS NOT NULL)::INTEGER AS has_snapshot,
    NULL::BIGINT AS ptm_issues_id, NULL::BIGINT AS ptm_pull_requests_id
FROM main.model WHERE deleted_at IS NULL AND hub NOT IN ('zoo', 'made', 'local');
COMMENT ON VIEW peatmoss.model_hub IS 'PeaTMOSS: a hub.';
COMMENT ON COLUMN peatmoss.model_hub.id IS 'Its number; 1 is the Hugging Face Hub, as there.';
COMMENT ON COLUMN peatmoss.model_hub.url IS 'Where it lists its models; NULL where unknown.';
COMMENT ON VIEW peatmoss.model IS 'PeaTMOSS: a model of a hub.';
COMMENT ON COLUMN peatmoss.model.id IS 'A number made of its name.';
COMMENT ON COLUMN peatmoss.model.context_id IS 'Its owner and name, owner/name.';
COMMENT ON COLUMN peatmoss.model.model_hub_id IS 'The hub.';
COMMENT ON COLUMN peatmoss.model.repo_url IS 'Its page.';
COMMENT ON COLUMN peatmoss.model.has_snapshot IS '1 where its files lie on this machine, else 0.';
COMMENT ON COLUMN peatmoss.model.ptm_issues_id IS 'NULL: issues on GitHub are not mined.';
COMMENT ON COLUMN peatmoss.model.ptm_pull_requests_id IS 'NULL: pull requests on GitHub are not mined.';

CREATE VIEW peatmoss.hf_commit AS
SELECT peatmoss.number(model_id || sha) AS id, sha AS commit_id, strftime(committed_at, '%Y-%m-%d %H:%M:%S') AS created_at,
    title, NULL::VARCHAR AS message, peatmoss.number(model_id) AS model_id
FROM main.revision WHERE model_id LIKE 'huggingface:%';
COMMENT ON VIEW peatmoss.hf_commit IS 'PeaTMOSS: a commit of a model of the Hugging Face Hub; the newest one unless more were mined.';
COMMENT ON COLUMN peatmoss.hf_commit.id IS 'A number made of the model''s name and the commit.';
COMMENT ON COLUMN peatmoss.hf_commit.commit_id IS 'The commit.';
COMMENT ON COLUMN peatmoss.hf_commit.created_at IS 'Its time (UTC), a text like 2023-05-31 12:00:00.';
COMMENT ON COLUMN peatmoss.hf_commit.message IS 'NULL: not mined.';
COMMENT ON COLUMN peatmoss.hf_commit.model_id IS 'The model''s number.';

CREATE VIEW peatmoss.discussion AS
SELECT peatmoss.number(model_id || '#' || number) AS id, title, status, number AS num, substr(model_id, 13) AS repo_id,
    'model' AS repo_type, is_pull_request::INTEGER AS is_pull_request,
    strftime(created_at, '%Y-%m-%d %H:%M:%S') AS created_at, 'https://huggingface.co' AS endpoint,
    NULL::VARCHAR AS target_branch, NULL::VARCHAR AS merge_commit_oid, NULL::VARCHAR AS diff,
    peatmoss.number(model_id) AS model_id
FROM main.discussion WHERE model_id LIKE 'huggingface:%';
COMMENT ON VIEW peatmoss.discussion IS 'PeaTMOSS: a discussion or pull request on a model''s page.';
COMMENT ON COLUMN peatmoss.discussion.id IS 'A number made of the model''s name and the discussion''s number.';
COMMENT ON COLUMN peatmoss.discussion.num IS 'Its number on the model''s page.';
COMMENT ON COLUMN peatmoss.discussion.repo_id IS 'The model''s owner/name.';
COMMENT ON COLUMN peatmoss.discussion.repo_type IS 'model.';
COMMENT ON COLUMN peatmoss.discussion.is_pull_request IS '1 where it proposes a change, else 0.';
COMMENT ON COLUMN peatmoss.discussion.created_at IS 'When it was opened (UTC), a text like 2023-05-31 12:00:00.';
COMMENT ON COLUMN peatmoss.discussion.endpoint IS 'The hub.';
COMMENT ON COLUMN peatmoss.discussion.target_branch IS 'NULL: not mined.';
COMMENT ON COLUMN peatmoss.discussion.merge_commit_oid IS 'NULL: not mined.';
COMMENT ON COLUMN peatmoss.discussion.diff IS 'NULL: not mined.';
COMMENT ON COLUMN peatmoss.discussion.model_id IS 'The model''s number.';

CREATE VIEW peatmoss.library_tag(name) AS VALUES
    ('adapter-transformers'), ('allennlp'), ('asteroid'), ('bertopic'), ('diffusers'), ('espnet'), ('fairseq'), ('fastai'),
    ('fasttext'), ('flair'), ('generic'), ('jax'), ('joblib'), ('k2'), ('keras'), ('ml-agents'), ('mlx'), ('nemo'), ('onnx'),
    ('open_clip'), ('openvino'), ('paddlenlp'), ('paddlepaddle'), ('peft'), ('pyannote-audio'), ('pythae'), ('pytorch'),
    ('rust'), ('safetensors'), ('sample-factory'), ('sentence-transformers'), ('setfit'), ('sklearn'), ('spacy'),
    ('span-marker'), ('speechbrain'), ('stable-baselines3'), ('stanza'), ('tensorboard'), ('tensorflowtts'), ('tf'),
    ('tf-keras'), ('tflite'), ('timm'), ('transformers'), ('transformers.js'), ('unity-sentis');
COMMENT ON VIEW peatmoss.library_tag IS 'Tags without a prefix by which the Hugging Face Hub means a library.';

CREATE VIEW peatmoss.named AS
WITH elsewhere AS (
    SELECT model_id FROM main.model WHERE deleted_at IS NOT NULL OR hub IN ('zoo', 'made', 'local')
), said(model_id, what, name) AS (
    SELECT model_id, 'tag', tag FROM main.tag ANTI JOIN peatmoss.library_tag ON tag = library_tag.name WHERE kind = 'plain'
    UNION ALL SELECT model_id, 'tag', task FROM main.model WHERE task IS NOT NULL
    UNION ALL SELECT model_id, 'library', tag FROM main.tag SEMI JOIN peatmoss.library_tag ON tag = library_tag.name WHERE kind = 'plain'
    UNION ALL SELECT model_id, 'library', library FROM main.model WHERE library IS NOT NULL
    UNION ALL SELECT model_id, 'license', unnest(string_split(license, ', ')) FROM main.model
    UNION ALL SELECT model_id, 'language', tag FROM main.tag WHERE kind = 'language'
    UNION ALL SELECT model_id, 'dataset', target FROM main.link WHERE kind = 'dataset'
    UNION ALL SELECT model_id, 'paper', 'https://arxiv.org/abs/' || target FROM main.link WHERE kind = 'paper'
    UNION ALL SELECT model_id, 'author', owner FROM main.model WHERE owner IS NOT NULL
    UNION ALL SELECT model_id, 'architecture', architecture FROM main.model WHERE architecture IS NOT NULL
    UNION ALL SELECT model_id, 'framework', model_type FROM main.model WHERE model_type IS NOT NULL
)
SELECT said.* FROM said ANTI JOIN elsewhere USING (model_id);
COMMENT ON VIEW peatmoss.named IS 'What the tables model_to_... of PeaTMOSS are made of, a tag or library twice where it is stated twice; framework is the type in a model''s configuration, as there.';
COMMENT ON COLUMN peatmoss.named.what IS 'tag, library, license, language, dataset, paper, author, architecture or framework.';
COMMENT ON COLUMN peatmoss.named.name IS 'The name that is linked to the model.';

CREATE VIEW peatmoss.tag AS SELECT DISTINCT peatmoss.number(name) AS id, name FROM peatmoss.named WHERE what = 'tag';
COMMENT ON VIEW peatmoss.tag IS 'PeaTMOSS: a tag.';
COMMENT ON COLUMN peatmoss.tag.id IS 'A number made of the name.';
COMMENT ON COLUMN peatmoss.tag.name IS 'The name.';
CREATE VIEW peatmoss.model_to_tag AS
SELECT DISTINCT peatmoss.number(model_id) AS model_id, peatmoss.number(name) AS tag_id FROM peatmoss.named WHERE what = 'tag';
COMMENT ON VIEW peatmoss.model_to_tag IS 'PeaTMOSS: which models are linked to a tag.';
COMMENT ON COLUMN peatmoss.model_to_tag.model_id IS 'The model''s number.';
COMMENT ON COLUMN peatmoss.model_to_tag.tag_id IS 'The number of what it is linked to.';

CREATE VIEW peatmoss.library AS SELECT DISTINCT peatmoss.number(name) AS id, name FROM peatmoss.named WHERE what = 'library';
COMMENT ON VIEW peatmoss.library IS 'PeaTMOSS: a library.';
COMMENT ON COLUMN peatmoss.library.id IS 'A number made of the name.';
COMMENT ON COLUMN peatmoss.library.name IS 'The name.';
CREATE VIEW peatmoss.model_to_library AS
SELECT DISTINCT peatmoss.number(model_id) AS model_id, peatmoss.number(name) AS library_id FROM peatmoss.named WHERE what = 'library';
COMMENT ON VIEW peatmoss.model_to_library IS 'PeaTMOSS: which models are linked to a library.';
COMMENT ON COLUMN peatmoss.model_to_library.model_id IS 'The model''s number.';
COMMENT ON COLUMN peatmoss.model_to_library.library_id IS 'The number of what it is linked to.';

CREATE VIEW peatmoss.license AS SELECT DISTINCT peatmoss.number(name) AS id, name FROM peatmoss.named WHERE what = 'license';
COMMENT ON VIEW peatmoss.license IS 'PeaTMOSS: a licence, as its hub states it.';
COMMENT ON COLUMN peatmoss.license.id IS 'A number made of the name.';
COMMENT ON COLUMN peatmoss.license.name IS 'The name.';
CREATE VIEW peatmoss.model_to_license AS
SELECT DISTINCT peatmoss.number(model_id) AS model_id, peatmoss.number(name) AS license_id FROM peatmoss.named WHERE what = 'license';
COMMENT ON VIEW peatmoss.model_to_license IS 'PeaTMOSS: which models are linked to a licence.';
COMMENT ON COLUMN peatmoss.model_to_license.model_id IS 'The model''s number.';
COMMENT ON COLUMN peatmoss.model_to_license.license_id IS 'The number of what it is linked to.';

CREATE VIEW peatmoss.language AS SELECT DISTINCT peatmoss.number(name) AS id, name, name AS abbreviation FROM peatmoss.named WHERE what = 'language';
COMMENT ON VIEW peatmoss.language IS 'PeaTMOSS: a language.';
COMMENT ON COLUMN peatmoss.language.id IS 'A number made of the name.';
COMMENT ON COLUMN peatmoss.language.name IS 'The name.';
COMMENT ON COLUMN peatmoss.language.abbreviation IS 'The same.';
CREATE VIEW peatmoss.model_to_language AS
SELECT DISTINCT peatmoss.number(model_id) AS model_id, peatmoss.number(name) AS language_id FROM peatmoss.named WHERE what = 'language';
COMMENT ON VIEW peatmoss.model_to_language IS 'PeaTMOSS: which models are linked to a language.';
COMMENT ON COLUMN peatmoss.model_to_language.model_id IS 'The model''s number.';
COMMENT ON COLUMN peatmoss.model_to_language.language_id IS 'The number of what it is linked to.';

CREATE VIEW peatmoss.dataset AS SELECT DISTINCT peatmoss.number(name) AS id, name FROM peatmoss.named WHERE what = 'dataset';
COMMENT ON VIEW peatmoss.dataset IS 'PeaTMOSS: a dataset.';
COMMENT ON COLUMN peatmoss.dataset.id IS 'A number made of the name.';
COMMENT ON COLUMN peatmoss.dataset.name IS 'The name.';
CREATE VIEW peatmoss.model_to_dataset AS
SELECT DISTINCT peatmoss.number(model_id) AS model_id, peatmoss.number(name) AS dataset_id FROM peatmoss.named WHERE what = 'dataset';
COMMENT ON VIEW peatmoss.model_to_dataset IS 'PeaTMOSS: which models are linked to a dataset.';
COMMENT ON COLUMN peatmoss.model_to_dataset.model_id IS 'The model''s number.';
COMMENT ON COLUMN peatmoss.model_to_dataset.dataset_id IS 'The number of what it is linked to.';

CREATE VIEW peatmoss.paper AS SELECT DISTINCT peatmoss.number(name) AS id, name FROM peatmoss.named WHERE what = 'paper';
COMMENT ON VIEW peatmoss.paper IS 'PeaTMOSS: a paper, the URL of its page at arXiv.';
COMMENT ON COLUMN peatmoss.paper.id IS 'A number made of the name.';
COMMENT ON COLUMN peatmoss.paper.name IS 'The name.';
CREATE VIEW peatmoss.model_to_paper AS
SELECT DISTINCT peatmoss.number(model_id) AS model_id, peatmoss.number(name) AS paper_id FROM peatmoss.named WHERE what = 'paper';
COMMENT ON VIEW peatmoss.model_to_paper IS 'PeaTMOSS: which models are linked to a paper.';
COMMENT ON COLUMN peatmoss.model_to_paper.model_id IS 'The model''s number.';
COMMENT ON COLUMN peatmoss.model_to_paper.paper_id IS 'The number of what it is linked to.';

CREATE VIEW peatmoss.author AS SELECT DISTINCT peatmoss.number(name) AS id, name FROM peatmoss.named WHERE what = 'author';
COMMENT ON VIEW peatmoss.author IS 'PeaTMOSS: a user or organisation.';
COMMENT ON COLUMN peatmoss.author.id IS 'A number made of the name.';
COMMENT ON COLUMN peatmoss.author.name IS 'The name.';
CREATE VIEW peatmoss.model_to_author AS
SELECT DISTINCT peatmoss.number(model_id) AS model_id, peatmoss.number(name) AS author_id FROM peatmoss.named WHERE what = 'author';
COMMENT ON VIEW peatmoss.model_to_author IS 'PeaTMOSS: which models are linked to a user or organisation.';
COMMENT ON COLUMN peatmoss.model_to_author.model_id IS 'The model''s number.';
COMMENT ON COLUMN peatmoss.model_to_author.author_id IS 'The number of what it is linked to.';

CREATE VIEW peatmoss.architecture AS SELECT DISTINCT peatmoss.number(name) AS id, name FROM peatmoss.named WHERE what = 'architecture';
COMMENT ON VIEW peatmoss.architecture IS 'PeaTMOSS: an architecture.';
COMMENT ON COLUMN peatmoss.architecture.id IS 'A number made of the name.';
COMMENT ON COLUMN peatmoss.architecture.name IS 'The name.';
CREATE VIEW peatmoss.model_to_architecture AS
SELECT DISTINCT peatmoss.number(model_id) AS model_id, peatmoss.number(name) AS architecture_id FROM peatmoss.named WHERE what = 'architecture';
COMMENT ON VIEW peatmoss.model_to_architecture IS 'PeaTMOSS: which models are linked to an architecture.';
COMMENT ON COLUMN peatmoss.model_to_architecture.model_id IS 'The model''s number.';
COMMENT ON COLUMN peatmoss.model_to_architecture.architecture_id IS 'The number of what it is linked to.';

CREATE VIEW peatmoss.framework AS SELECT DISTINCT peatmoss.number(name) AS id, name FROM peatmoss.named WHERE what = 'framework';
COMMENT ON VIEW peatmoss.framework IS 'PeaTMOSS: a framework: the type in a model''s configuration, e.g. bert.';
COMMENT ON COLUMN peatmoss.framework.id IS 'A number made of the name.';
COMMENT ON COLUMN peatmoss.framework.name IS 'The name.';
CREATE VIEW peatmoss.model_to_framework AS
SELECT DISTINCT peatmoss.number(model_id) AS model_id, peatmoss.number(name) AS framework_id FROM peatmoss.named WHERE what = 'framework';
COMMENT ON VIEW peatmoss.model_to_framework IS 'PeaTMOSS: which models are linked to a framework.';
COMMENT ON COLUMN peatmoss.model_to_framework.model_id IS 'The model''s number.';
COMMENT ON COLUMN peatmoss.model_to_framework.framework_id IS 'The number of what it is linked to.';
