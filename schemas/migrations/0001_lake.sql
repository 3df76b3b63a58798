-- The tables of a lake. No keys: uniqueness is kept by how rows are written and checked by `weightlake doctor`.

CREATE TABLE crawl (
    crawl_id VARCHAR, hub VARCHAR, query JSON, source VARCHAR, cursor VARCHAR, state VARCHAR,
    rows_seen BIGINT, rows_stored BIGINT, failures BIGINT, software VARCHAR,
    started_at TIMESTAMPTZ, ended_at TIMESTAMPTZ
);
COMMENT ON TABLE crawl IS 'One run of a miner. rows_seen = rows_stored + failures of the listing.';
COMMENT ON COLUMN crawl.crawl_id IS 'Unique name of the run; also the folder of its raw answers, raw/<hub>/<crawl_id>/.';
COMMENT ON COLUMN crawl.hub IS 'Name of the miner: huggingface, local, ...';
COMMENT ON COLUMN crawl.query IS 'The options that the run was started with, as a JSON object.';
COMMENT ON COLUMN crawl.source IS 'Where the rows came from: the endpoint''s URL or the folder''s path.';
COMMENT ON COLUMN crawl.cursor IS 'Where a later run goes on; NULL once the listing was read to its end.';
COMMENT ON COLUMN crawl.state IS 'running, finished or failed. A run that was killed stays at running.';
COMMENT ON COLUMN crawl.rows_seen IS 'Records that the hub listed.';
COMMENT ON COLUMN crawl.rows_stored IS 'Records that became a row of model.';
COMMENT ON COLUMN crawl.failures IS 'Records that could not be read; each has a row in failure.';
COMMENT ON COLUMN crawl.software IS 'weightlake''s version.';
COMMENT ON COLUMN crawl.started_at IS 'When the run began (UTC).';
COMMENT ON COLUMN crawl.ended_at IS 'When it finished or failed (UTC).';

CREATE TABLE model (
    model_id VARCHAR, hub VARCHAR, owner VARCHAR, name VARCHAR, sha VARCHAR, location VARCHAR,
    task VARCHAR, library VARCHAR, license VARCHAR, license_spdx VARCHAR,
    architecture VARCHAR, model_type VARCHAR, parameters BIGINT, stored_bytes BIGINT, files BIGINT,
    downloads BIGINT, downloads_all_time BIGINT, likes BIGINT, trending_score DOUBLE,
    gated VARCHAR, private BOOLEAN, disabled BOOLEAN,
    created_at TIMESTAMPTZ, modified_at TIMESTAMPTZ,
    first_seen TIMESTAMPTZ, last_seen TIMESTAMPTZ, deleted_at TIMESTAMPTZ, crawl_id VARCHAR
);
COMMENT ON TABLE model IS 'One model: mined, trained or made; the newest known scalars only. Lists live in tag and link, history in observation.';
COMMENT ON COLUMN model.model_id IS 'hub:owner/name, e.g. huggingface:google/vit-base-patch16-224, zoo:digits-cnn/w8-b32-s0, made:soup/...';
COMMENT ON COLUMN model.hub IS 'Where the model is from: huggingface, local, ... (mined), zoo (trained here) or made (by a learner).';
COMMENT ON COLUMN model.owner IS 'User or organisation; the population for zoo, the kind of product for made. NULL for a hub''s models without owner.';
COMMENT ON COLUMN model.name IS 'Name of the repository under its owner.';
COMMENT ON COLUMN model.sha IS 'Newest known commit of the repository.';
COMMENT ON COLUMN model.location IS 'Folder on this machine where its files lie; NULL if they do not.';
COMMENT ON COLUMN model.task IS 'The hub''s task, e.g. text-classification (pipeline_tag).';
COMMENT ON COLUMN model.library IS 'The library that loads it, e.g. transformers.';
COMMENT ON COLUMN model.license IS 'The licence as its hub states it; several are joined by ", ".';
COMMENT ON COLUMN model.license_spdx IS 'SPDX identifier or expression of the licence; NULL where the statement has none.';
COMMENT ON COLUMN model.architecture IS 'Class named in its configuration, e.g. BertForMaskedLM, or the zoo''s architecture.';
COMMENT ON COLUMN model.model_type IS 'Family named in its configuration, e.g. bert.';
COMMENT ON COLUMN model.parameters IS 'Number of parameters, as the hub counts it or from the tensors'' shapes.';
COMMENT ON COLUMN model.stored_bytes IS 'Bytes that the repository takes up, all files.';
COMMENT ON COLUMN model.files IS 'Number of files of the repository.';
COMMENT ON COLUMN model.downloads IS 'Downloads of the last 30 days, as the hub counts them.';
COMMENT ON COLUMN model.downloads_all_time IS 'Downloads since creation.';
COMMENT ON COLUMN model.likes IS 'Likes.';
COMMENT ON COLUMN model.trending_score IS 'The hub''s own score of recent interest.';
COMMENT ON COLUMN model.gated IS 'no, auto or manual: whether access has to be asked for.';
COMMENT ON COLUMN model.private IS 'Whether only its owner sees it.';
COMMENT ON COLUMN model.disabled IS 'Whether the hub has switched it off.';
COMMENT ON COLUMN model.created_at IS 'When the repository or the trained model was made (UTC).';
COMMENT ON COLUMN model.modified_at IS 'Last change of the repository (UTC).';
COMMENT ON COLUMN model.first_seen IS 'When this lake first saw it (UTC).';
COMMENT ON COLUMN model.last_seen IS 'When this lake last saw it (UTC).';
COMMENT ON COLUMN model.deleted_at IS 'When a crawl found it gone (UTC); NULL while it exists.';
COMMENT ON COLUMN model.crawl_id IS 'The run that last saw it; NULL for trained and made models.';

CREATE TABLE observation (
    model_id VARCHAR, observed_at TIMESTAMPTZ, crawl_id VARCHAR, sha VARCHAR,
    downloads BIGINT, downloads_all_time BIGINT, likes BIGINT, trending_score DOUBLE,
    gated VARCHAR, private BOOLEAN, disabled BOOLEAN, stored_bytes BIGINT, modified_at TIMESTAMPTZ
);
COMMENT ON TABLE observation IS 'Counters of a model at one time, append only: the time series that hubs do not keep.';
COMMENT ON COLUMN observation.model_id IS 'The model.';
COMMENT ON COLUMN observation.observed_at IS 'When the hub answered (UTC).';
COMMENT ON COLUMN observation.crawl_id IS 'The run that saw it.';
COMMENT ON COLUMN observation.sha IS 'Newest commit at that time.';
COMMENT ON COLUMN observation.downloads IS 'Downloads of the last 30 days at that time.';
COMMENT ON COLUMN observation.downloads_all_time IS 'Downloads since creation at that time.';
COMMENT ON COLUMN observation.likes IS 'Likes at that time.';
COMMENT ON COLUMN observation.trending_score IS 'The hub''s score of recent interest at that time.';
COMMENT ON COLUMN observation.gated IS 'no, auto or manual at that time.';
COMMENT ON COLUMN observation.private IS 'Whether it was private.';
COMMENT ON COLUMN observation.disabled IS 'Whether the hub had switched it off.';
COMMENT ON COLUMN observation.stored_bytes IS 'Bytes that the repository took up.';
COMMENT ON COLUMN observation.modified_at IS 'Last change of the repository known at that time (UTC).';

CREATE TABLE tag (model_id VARCHAR, tag VARCHAR, kind VARCHAR);
COMMENT ON TABLE tag IS 'One tag of a model.';
COMMENT ON COLUMN tag.model_id IS 'The model.';
COMMENT ON COLUMN tag.tag IS 'The tag without its prefix: mit for license:mit.';
COMMENT ON COLUMN tag.kind IS 'The tag''s prefix (license, region, dataset, ...), language for a language given in the card, or plain.';

CREATE TABLE link (model_id VARCHAR, kind VARCHAR, target VARCHAR, source VARCHAR);
COMMENT ON TABLE link IS 'A link from a model to something that is no model.';
COMMENT ON COLUMN link.model_id IS 'The model.';
COMMENT ON COLUMN link.kind IS 'paper, dataset, code, space or doi.';
COMMENT ON COLUMN link.target IS 'An arXiv identifier, a dataset''s or space''s name, a DOI or a URL, by kind.';
COMMENT ON COLUMN link.source IS 'Where it is said: tags, card or listing.';

CREATE TABLE revision (model_id VARCHAR, sha VARCHAR, committed_at TIMESTAMPTZ, source VARCHAR);
COMMENT ON TABLE revision IS 'A commit of a model''s repository that this lake has seen.';
COMMENT ON COLUMN revision.model_id IS 'The model.';
COMMENT ON COLUMN revision.sha IS 'The commit.';
COMMENT ON COLUMN revision.committed_at IS 'Its time (UTC); NULL where the hub does not say.';
COMMENT ON COLUMN revision.source IS 'Where it is known from: listing or cache.';

CREATE TABLE file (
    model_id VARCHAR, path VARCHAR, format VARCHAR, bytes BIGINT, sha256 VARCHAR, blob VARCHAR
);
COMMENT ON TABLE file IS 'A file of a model''s repository at its newest known commit.';
COMMENT ON COLUMN file.model_id IS 'The model.';
COMMENT ON COLUMN file.path IS 'Path inside the repository.';
COMMENT ON COLUMN file.format IS 'Weight format by its ending: safetensors, gguf, onnx, pickle, keras, tensorflow, flax; NULL for other files.';
COMMENT ON COLUMN file.bytes IS 'Size; NULL where the hub does not say.';
COMMENT ON COLUMN file.sha256 IS 'SHA-256 of the content, where the hub states it.';
COMMENT ON COLUMN file.blob IS 'Git blob id, where the hub states it.';

CREATE TABLE tensor (
    model_id VARCHAR, path VARCHAR, name VARCHAR, dtype VARCHAR, shape BIGINT[],
    begin_byte BIGINT, end_byte BIGINT
);
COMMENT ON TABLE tensor IS 'A tensor of a safetensors file, read from the file''s header without downloading weights.';
COMMENT ON COLUMN tensor.model_id IS 'The model.';
COMMENT ON COLUMN tensor.path IS 'The file inside the repository.';
COMMENT ON COLUMN tensor.name IS 'The tensor''s name.';
COMMENT ON COLUMN tensor.dtype IS 'As safetensors names it: F32, BF16, F8_E4M3, ...';
COMMENT ON COLUMN tensor.shape IS 'Its shape; empty for a scalar.';
COMMENT ON COLUMN tensor.begin_byte IS 'First byte of its data, counted from the start of the file.';
COMMENT ON COLUMN tensor.end_byte IS 'One past its last byte.';

CREATE TABLE card (
    model_id VARCHAR, sha VARCHAR, text VARCHAR, metadata JSON, problems VARCHAR[], bytes BIGINT, fetched_at TIMESTAMPTZ
);
COMMENT ON TABLE card IS 'A model card: the README.md of its repository.';
COMMENT ON COLUMN card.model_id IS 'The model.';
COMMENT ON COLUMN card.sha IS 'The commit that it was read from; NULL where unknown.';
COMMENT ON COLUMN card.text IS 'The whole text; bytes that are not UTF-8 become U+FFFD.';
COMMENT ON COLUMN card.metadata IS 'The front matter as a JSON object; NULL where there is none that can be read.';
COMMENT ON COLUMN card.problems IS 'What is wrong with it, e.g. no front matter, invalid YAML; empty where nothing is.';
COMMENT ON COLUMN card.bytes IS 'Size of the file.';
COMMENT ON COLUMN card.fetched_at IS 'When it was read (UTC).';

CREATE TABLE card_section (
    model_id VARCHAR, position INTEGER, level INTEGER, heading VARCHAR, words INTEGER, filled BOOLEAN, evidence VARCHAR
);
COMMENT ON TABLE card_section IS 'A section of a model card, cut at its Markdown headings.';
COMMENT ON COLUMN card_section.model_id IS 'The model.';
COMMENT ON COLUMN card_section.position IS 'Its place in the card, from 0.';
COMMENT ON COLUMN card_section.level IS 'Level of the heading, 1 to 6; 0 for the text before the first one.';
COMMENT ON COLUMN card_section.heading IS 'The heading''s text; NULL for the text before the first one.';
COMMENT ON COLUMN card_section.words IS 'Words under the heading, without comments and the template''s filler.';
COMMENT ON COLUMN card_section.filled IS 'Whether anything but filler stands there.';
COMMENT ON COLUMN card_section.evidence IS 'The first words that count as filled; NULL where none do.';

CREATE TABLE lineage (child_id VARCHAR, parent_id VARCHAR, relation VARCHAR, source VARCHAR, confidence DOUBLE);
COMMENT ON TABLE lineage IS 'A model comes from another; several parents are allowed, and a parent need not be in the lake.';
COMMENT ON COLUMN lineage.child_id IS 'model_id of the derived model.';
COMMENT ON COLUMN lineage.parent_id IS 'model_id of the model it comes from; init:... for a shared initialisation.';
COMMENT ON COLUMN lineage.relation IS 'finetune, adapter, quantized, merge, soup, stitch, initialised-from, or base where the hub does not say which.';
COMMENT ON COLUMN lineage.source IS 'Where that is said: tags, card, recipe or product.';
COMMENT ON COLUMN lineage.confidence IS '1 where it is known, less where it is inferred.';

CREATE TABLE evaluation (
    model_id VARCHAR, task VARCHAR, dataset VARCHAR, config VARCHAR, split VARCHAR,
    metric VARCHAR, value DOUBLE, value_text VARCHAR, verified BOOLEAN, source VARCHAR
);
COMMENT ON TABLE evaluation IS 'A result that somebody published for a model.';
COMMENT ON COLUMN evaluation.model_id IS 'The model.';
COMMENT ON COLUMN evaluation.task IS 'Task of the result.';
COMMENT ON COLUMN evaluation.dataset IS 'Dataset of the result.';
COMMENT ON COLUMN evaluation.config IS 'Configuration of the dataset.';
COMMENT ON COLUMN evaluation.split IS 'Split of the dataset.';
COMMENT ON COLUMN evaluation.metric IS 'Metric, e.g. accuracy.';
COMMENT ON COLUMN evaluation.value IS 'The number, in the unit of its source; NULL where the source gives no number.';
COMMENT ON COLUMN evaluation.value_text IS 'The value as the source writes it.';
COMMENT ON COLUMN evaluation.verified IS 'Whether the hub says that it checked the result.';
COMMENT ON COLUMN evaluation.source IS 'Where it is said: model-index, ...';

CREATE TABLE event (model_id VARCHAR, kind VARCHAR, observed_at TIMESTAMPTZ, crawl_id VARCHAR, before VARCHAR, after VARCHAR);
COMMENT ON TABLE event IS 'A change of a model between two crawls.';
COMMENT ON COLUMN event.model_id IS 'The model.';
COMMENT ON COLUMN event.kind IS 'license, gated, private, disabled or task: the column of model that changed.';
COMMENT ON COLUMN event.observed_at IS 'When the change was seen (UTC).';
COMMENT ON COLUMN event.crawl_id IS 'The run that saw it.';
COMMENT ON COLUMN event.before IS 'The value before.';
COMMENT ON COLUMN event.after IS 'The value after.';

CREATE TABLE failure (crawl_id VARCHAR, hub VARCHAR, subject VARCHAR, stage VARCHAR, reason VARCHAR, happened_at TIMESTAMPTZ);
COMMENT ON TABLE failure IS 'Something that could not be read. Nothing is dropped silently.';
COMMENT ON COLUMN failure.crawl_id IS 'The run.';
COMMENT ON COLUMN failure.hub IS 'The miner.';
COMMENT ON COLUMN failure.subject IS 'A model_id, a path or a URL.';
COMMENT ON COLUMN failure.stage IS 'listing (the record is lost), field (a value of it, stored as NULL), card, tensors, config or file.';
COMMENT ON COLUMN failure.reason IS 'What was wrong.';
COMMENT ON COLUMN failure.happened_at IS 'When (UTC).';

CREATE TABLE population (
    population_id VARCHAR, name VARCHAR, recipe JSON, recipe_sha256 VARCHAR, architecture VARCHAR, dataset VARCHAR,
    dataset_sha256 VARCHAR, classes INTEGER, input_shape INTEGER[], split_seed BIGINT, members BIGINT, state VARCHAR,
    device VARCHAR, software VARCHAR, created_at TIMESTAMPTZ
);
COMMENT ON TABLE population IS 'A recipe that was trained into a population of models.';
COMMENT ON COLUMN population.population_id IS 'name-hash: the recipe''s name and the first eight digits of its hash.';
COMMENT ON COLUMN population.name IS 'The recipe''s name.';
COMMENT ON COLUMN population.recipe IS 'The whole recipe as a JSON object, defaults filled in.';
COMMENT ON COLUMN population.recipe_sha256 IS 'SHA-256 of the recipe: the population''s identity.';
COMMENT ON COLUMN population.architecture IS 'Architecture of every member.';
COMMENT ON COLUMN population.dataset IS 'Dataset that it was trained on.';
COMMENT ON COLUMN population.dataset_sha256 IS 'SHA-256 of the dataset''s arrays.';
COMMENT ON COLUMN population.classes IS 'Number of classes of the dataset, and of outputs of every member.';
COMMENT ON COLUMN population.input_shape IS 'Shape of one sample: channels, height, width.';
COMMENT ON COLUMN population.split_seed IS 'Seed of the dataset''s split into train, validation and test.';
COMMENT ON COLUMN population.members IS 'Number of members that the recipe asks for.';
COMMENT ON COLUMN population.state IS 'building or complete.';
COMMENT ON COLUMN population.device IS 'Device that it was trained on: cpu or cuda.';
COMMENT ON COLUMN population.software IS 'Versions of weightlake, torch and Python.';
COMMENT ON COLUMN population.created_at IS 'When the build began (UTC).';

CREATE TABLE member (
    model_id VARCHAR, population_id VARCHAR, width INTEGER, batch_size INTEGER, seed BIGINT, init_seed BIGINT,
    learning_rate DOUBLE, weight_decay DOUBLE, label_noise DOUBLE, epochs INTEGER, state VARCHAR, diverged_epoch INTEGER
);
COMMENT ON TABLE member IS 'A trained model of a population. Width is its load, batch size and learning rate are its temperature.';
COMMENT ON COLUMN member.model_id IS 'The model, zoo:<population>/<member>.';
COMMENT ON COLUMN member.population_id IS 'Its population.';
COMMENT ON COLUMN member.width IS 'Width factor of the architecture.';
COMMENT ON COLUMN member.batch_size IS 'Samples of one step.';
COMMENT ON COLUMN member.seed IS 'Seed of data order and label noise, and of the initialisation unless init_seed is set.';
COMMENT ON COLUMN member.init_seed IS 'Seed of the initialisation.';
COMMENT ON COLUMN member.learning_rate IS 'Peak learning rate.';
COMMENT ON COLUMN member.weight_decay IS 'Weight decay.';
COMMENT ON COLUMN member.label_noise IS 'Share of training labels replaced by another class.';
COMMENT ON COLUMN member.epochs IS 'Epochs that the recipe asks for.';
COMMENT ON COLUMN member.state IS 'trained or diverged.';
COMMENT ON COLUMN member.diverged_epoch IS 'Epoch in which its loss stopped being finite; NULL if it never did.';

CREATE TABLE training (model_id VARCHAR, epoch INTEGER, split VARCHAR, metric VARCHAR, value DOUBLE);
COMMENT ON TABLE training IS 'Training curves: one metric of one member after one epoch.';
COMMENT ON COLUMN training.model_id IS 'The member.';
COMMENT ON COLUMN training.epoch IS 'Epochs completed, from 1.';
COMMENT ON COLUMN training.split IS 'train (mean over the epoch''s steps), validation or test.';
COMMENT ON COLUMN training.metric IS 'loss (cross-entropy, nats) or accuracy (share, 0 to 1).';
COMMENT ON COLUMN training.value IS 'The value.';

CREATE TABLE checkpoint (model_id VARCHAR, epoch INTEGER, final BOOLEAN, shard VARCHAR, row INTEGER, shard_sha256 VARCHAR);
COMMENT ON TABLE checkpoint IS 'Where the weights of a trained or made model lie: one row of a stacked safetensors shard.';
COMMENT ON COLUMN checkpoint.model_id IS 'The model.';
COMMENT ON COLUMN checkpoint.epoch IS 'Epochs completed; 0 is the initialisation, and the only one of a made model.';
COMMENT ON COLUMN checkpoint.final IS 'Whether these are the model''s weights when no epoch is named.';
COMMENT ON COLUMN checkpoint.shard IS 'Path of the shard below weights/.';
COMMENT ON COLUMN checkpoint.row IS 'The model''s index along the leading axis of every tensor of the shard.';
COMMENT ON COLUMN checkpoint.shard_sha256 IS 'SHA-256 of the shard.';

CREATE TABLE measurement (
    model_id VARCHAR, epoch INTEGER, metric VARCHAR, split VARCHAR, value DOUBLE, standard_error DOUBLE, samples BIGINT,
    settings JSON, seed BIGINT, measured_at TIMESTAMPTZ
);
COMMENT ON TABLE measurement IS 'A number that a learner found for a model.';
COMMENT ON COLUMN measurement.model_id IS 'The model.';
COMMENT ON COLUMN measurement.epoch IS 'The checkpoint; NULL for the final one.';
COMMENT ON COLUMN measurement.metric IS 'Name of the metric, e.g. accuracy.';
COMMENT ON COLUMN measurement.split IS 'Split of the data that it was measured on; NULL where it needs no data.';
COMMENT ON COLUMN measurement.value IS 'The value.';
COMMENT ON COLUMN measurement.standard_error IS 'Its standard error; NULL where it has none.';
COMMENT ON COLUMN measurement.samples IS 'Samples that it was measured on.';
COMMENT ON COLUMN measurement.settings IS 'Everything else that the value depends on, as a JSON object.';
COMMENT ON COLUMN measurement.seed IS 'Seed of the measurement; NULL where nothing is drawn.';
COMMENT ON COLUMN measurement.measured_at IS 'When (UTC).';

CREATE TABLE pair_measurement (
    first_id VARCHAR, second_id VARCHAR, metric VARCHAR, split VARCHAR, value DOUBLE, standard_error DOUBLE, samples BIGINT,
    settings JSON, seed BIGINT, measured_at TIMESTAMPTZ
);
COMMENT ON TABLE pair_measurement IS 'A number that a learner found for two models.';
COMMENT ON COLUMN pair_measurement.first_id IS 'One model.';
COMMENT ON COLUMN pair_measurement.second_id IS 'The other.';
COMMENT ON COLUMN pair_measurement.metric IS 'Name of the metric, e.g. l2_distance.';
COMMENT ON COLUMN pair_measurement.split IS 'Split of the data; NULL where it needs no data.';
COMMENT ON COLUMN pair_measurement.value IS 'The value.';
COMMENT ON COLUMN pair_measurement.standard_error IS 'Its standard error; NULL where it has none.';
COMMENT ON COLUMN pair_measurement.samples IS 'Samples that it was measured on.';
COMMENT ON COLUMN pair_measurement.settings IS 'Everything else that the value depends on, as a JSON object.';
COMMENT ON COLUMN pair_measurement.seed IS 'Seed of the measurement; NULL where nothing is drawn.';
COMMENT ON COLUMN pair_measurement.measured_at IS 'When (UTC).';

CREATE TABLE product (model_id VARCHAR, method VARCHAR, settings JSON, software VARCHAR, made_at TIMESTAMPTZ);
COMMENT ON TABLE product IS 'How a made model was made; its ingredients are its parents in lineage.';
COMMENT ON COLUMN product.model_id IS 'The made model.';
COMMENT ON COLUMN product.method IS 'uniform_soup, greedy_soup, ...';
COMMENT ON COLUMN product.settings IS 'The method''s parameters and the selection, as a JSON object.';
COMMENT ON COLUMN product.software IS 'weightlake''s version.';
COMMENT ON COLUMN product.made_at IS 'When (UTC).';
