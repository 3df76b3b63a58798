-- What hubs say that has no column of its own, how fast architectures run, and where a result in free text stands.

CREATE TABLE statement (model_id VARCHAR, name VARCHAR, value VARCHAR, number DOUBLE, source VARCHAR, evidence VARCHAR);
COMMENT ON TABLE statement IS 'Something that a hub says of a model: what has no column of its own, and with its evidence what was read from free text.';
COMMENT ON COLUMN statement.model_id IS 'The model.';
COMMENT ON COLUMN statement.name IS 'What it is about: opset, inputs, title, license, ...';
COMMENT ON COLUMN statement.value IS 'What is said, as text; lists and objects as JSON.';
COMMENT ON COLUMN statement.number IS 'The same as a number; NULL where it is none.';
COMMENT ON COLUMN statement.source IS 'The file that says it: its path in the hub''s repository, or its address.';
COMMENT ON COLUMN statement.evidence IS 'The words that it was read from; NULL where the file has a field of its own for it.';

CREATE TABLE throughput (
    hub VARCHAR, architecture VARCHAR, phase VARCHAR, device VARCHAR, precision VARCHAR, layout VARCHAR,
    compiled BOOLEAN, software VARCHAR, image_size BIGINT, batch_size BIGINT, samples_per_second DOUBLE,
    step_milliseconds DOUBLE, gmacs DOUBLE, million_activations DOUBLE, million_parameters DOUBLE, source VARCHAR
);
COMMENT ON TABLE throughput IS 'How fast an architecture runs on a device, as a hub has measured it. Joins to model by hub and architecture.';
COMMENT ON COLUMN throughput.hub IS 'The hub that published it.';
COMMENT ON COLUMN throughput.architecture IS 'The architecture, as in model.architecture.';
COMMENT ON COLUMN throughput.phase IS 'infer or train.';
COMMENT ON COLUMN throughput.device IS 'The device, e.g. rtx4090 or cpu-i9_10940x.';
COMMENT ON COLUMN throughput.precision IS 'Arithmetic: amp, bf16, fp32, ...';
COMMENT ON COLUMN throughput.layout IS 'Order of an image''s dimensions in memory: nchw or nhwc.';
COMMENT ON COLUMN throughput.compiled IS 'Whether the model was compiled (torch.compile).';
COMMENT ON COLUMN throughput.software IS 'Versions of PyTorch and CUDA, e.g. pt240 cu124.';
COMMENT ON COLUMN throughput.image_size IS 'Side of the images in pixels.';
COMMENT ON COLUMN throughput.batch_size IS 'Images in a batch.';
COMMENT ON COLUMN throughput.samples_per_second IS 'Images a second.';
COMMENT ON COLUMN throughput.step_milliseconds IS 'Time of a batch, milliseconds.';
COMMENT ON COLUMN throughput.gmacs IS 'Billions of multiplications and additions for one image of that size; NULL where not measured.';
COMMENT ON COLUMN throughput.million_activations IS 'Millions of activations for one image of that size; NULL where not measured.';
COMMENT ON COLUMN throughput.million_parameters IS 'Millions of parameters.';
COMMENT ON COLUMN throughput.source IS 'The file that says it.';

ALTER TABLE evaluation ADD COLUMN evidence VARCHAR;
COMMENT ON COLUMN evaluation.source IS 'Where it is said: model-index, or a file of the hub''s repository.';
COMMENT ON COLUMN evaluation.evidence IS 'The words that it was read from; NULL where the source has a field of its own for it.';
COMMENT ON COLUMN link.kind IS 'paper, dataset, code, space, doi, page, demo, or model (one of another hub that is the same).';
COMMENT ON COLUMN link.target IS 'An arXiv identifier without version (or the address of a paper that has none), a dataset''s or space''s name, a DOI in lower case, a repository''s address or a model_id, by kind.';
COMMENT ON COLUMN link.source IS 'Where it is said: tags, card (its metadata), text (of the card), page (of the hub, that names the model) or listing.';
COMMENT ON COLUMN model.location IS 'Folder on this machine where its files lie, or the one file that it is; NULL if they do not.';
COMMENT ON COLUMN tag.kind IS 'The tag''s prefix (license, region, dataset, ...), language for a language given in the card, or plain.';
