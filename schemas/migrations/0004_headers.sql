-- What headers of weight files say beyond their tensors, and which models could be merged.

COMMENT ON TABLE tensor IS 'A tensor of a weight file, read from the file''s header without downloading weights.';
COMMENT ON COLUMN tensor.dtype IS 'As safetensors names it: F32, BF16, F8_E4M3, ...; quantised types as their own format does: Q4_K, QI8, ...';
COMMENT ON COLUMN tensor.shape IS 'Its shape, the dimension whose elements lie side by side last; empty for a scalar.';
COMMENT ON COLUMN tensor.begin_byte IS 'First byte of its data, counted from the start of the file; NULL where the header does not say (zip archives, external data).';
COMMENT ON COLUMN tensor.end_byte IS 'One past its last byte.';

CREATE TABLE weights (
    model_id VARCHAR, format VARCHAR, main BOOLEAN, files BIGINT, tensors BIGINT, parameters BIGINT, bytes BIGINT,
    fingerprint VARCHAR
);
COMMENT ON TABLE weights IS 'The weights of a model in one format, as the headers of its files tell. Tensors that share their data count once.';
COMMENT ON COLUMN weights.model_id IS 'The model.';
COMMENT ON COLUMN weights.format IS 'safetensors, pickle, onnx, gguf or numpy.';
COMMENT ON COLUMN weights.main IS 'Whether this format stands for the model: the first in that order of those that are there as a whole.';
COMMENT ON COLUMN weights.files IS 'Files that make up the model together; the files that were read where that is not known. Of ONNX and GGUF the largest model counts.';
COMMENT ON COLUMN weights.tensors IS 'Tensors in those files.';
COMMENT ON COLUMN weights.parameters IS 'Their elements; NULL where it is not known which files make up the model, or one of them could not be read.';
COMMENT ON COLUMN weights.bytes IS 'Bytes that the tensors take up; NULL where a dtype''s size is not known.';
COMMENT ON COLUMN weights.fingerprint IS 'Architecture''s fingerprint: SHA-256 of the sorted names and shapes, as JSON text [["name",[2,3]],...]. Dtypes are no part of it.';

INSERT INTO weights BY NAME  -- who has rows in tensor has one here, so that only for those the old ones are searched
SELECT model_id, 'safetensors' AS format, false AS main, count(DISTINCT path) AS files, count(*) AS tensors
FROM tensor GROUP BY model_id;

CREATE TABLE weights_dtype (
    model_id VARCHAR, format VARCHAR, dtype VARCHAR, tensors BIGINT, parameters BIGINT, bytes BIGINT, share DOUBLE
);
COMMENT ON TABLE weights_dtype IS 'The dtype mix of a model''s weights: a row for each dtype in the files that make up the model.';
COMMENT ON COLUMN weights_dtype.model_id IS 'The model.';
COMMENT ON COLUMN weights_dtype.format IS 'The format, as in weights.';
COMMENT ON COLUMN weights_dtype.dtype IS 'The dtype, as in tensor.';
COMMENT ON COLUMN weights_dtype.tensors IS 'Tensors of that dtype.';
COMMENT ON COLUMN weights_dtype.parameters IS 'Their elements.';
COMMENT ON COLUMN weights_dtype.bytes IS 'Bytes that they take up; NULL where the dtype''s size is not known.';
COMMENT ON COLUMN weights_dtype.share IS 'Share of the model''s elements that are of that dtype, 0 to 1.';

CREATE TABLE weights_metadata (
    model_id VARCHAR, path VARCHAR, kind VARCHAR, key VARCHAR, type VARCHAR, value VARCHAR, characters BIGINT
);
COMMENT ON TABLE weights_metadata IS 'Something else that a weight file''s header says: its metadata, and an ONNX graph''s inputs, outputs and opsets.';
COMMENT ON COLUMN weights_metadata.model_id IS 'The model.';
COMMENT ON COLUMN weights_metadata.path IS 'The file inside the repository.';
COMMENT ON COLUMN weights_metadata.kind IS 'metadata, input, output, opset or external (a file in which the weights of an ONNX graph lie).';
COMMENT ON COLUMN weights_metadata.key IS 'Its name: general.architecture, the input''s name, the opset''s domain, ...';
COMMENT ON COLUMN weights_metadata.type IS 'Type of the value, where the format has types: uint32, string[32000], an input''s dtype, ...';
COMMENT ON COLUMN weights_metadata.value IS 'The value as text, cut to 4096 characters: a short list as JSON, an input''s shape as batch, 3, 224, 224. NULL for long lists.';
COMMENT ON COLUMN weights_metadata.characters IS 'Length of the value before it was cut (bytes where it was longer); NULL for long lists.';

DELETE FROM fetched WHERE what = 'tensors';  -- earlier versions read safetensors only, and nothing but the tensors

CREATE VIEW mergeable AS
WITH RECURSIVE edge AS MATERIALIZED (
    SELECT DISTINCT child_id, parent_id FROM lineage WHERE child_id <> parent_id
), founder AS (  -- parents that have no parents themselves
    SELECT DISTINCT parent_id AS model_id FROM edge ANTI JOIN (SELECT child_id AS parent_id FROM edge) USING (parent_id)
), family AS (
    SELECT model_id, model_id AS ancestor_id FROM founder
    UNION
    SELECT edge.child_id, family.ancestor_id FROM family JOIN edge ON edge.parent_id = family.model_id
), circled AS MATERIALIZED (  -- lineage in circles, and what comes from nothing else, has no founder
    SELECT child_id, parent_id FROM edge
    ANTI JOIN (SELECT model_id AS child_id FROM family) USING (child_id)
), above AS (
    SELECT child_id AS model_id, parent_id AS ancestor_id FROM circled
    UNION
    SELECT above.model_id, circled.parent_id FROM above JOIN circled ON circled.child_id = above.ancestor_id
), topmost AS (  -- of each circle that no other leads to, the first name stands for all
    SELECT model_id, min(ancestor_id) AS ancestor_id FROM above
    WHERE ancestor_id IN (SELECT model_id FROM above AS itself WHERE itself.ancestor_id = itself.model_id)
    GROUP BY model_id
), circle AS (
    SELECT DISTINCT ancestor_id AS model_id, ancestor_id FROM topmost
    UNION
    SELECT edge.child_id, circle.ancestor_id FROM circle JOIN edge ON edge.parent_id = circle.model_id
), relative AS (
    FROM family UNION ALL FROM circle
)
SELECT weights.fingerprint, relative.ancestor_id, weights.model_id, weights.format, weights.parameters,
    count(*) OVER (PARTITION BY weights.fingerprint, relative.ancestor_id) AS models
FROM weights JOIN relative USING (model_id) JOIN model USING (model_id)
WHERE weights.main AND weights.fingerprint IS NOT NULL AND model.deleted_at IS NULL
QUALIFY models > 1;

COMMENT ON VIEW mergeable IS 'Models whose tensors have equal names and shapes and who descend from one model: groups by fingerprint and ancestor.';
COMMENT ON COLUMN mergeable.fingerprint IS 'The fingerprint that the models of the group share.';
COMMENT ON COLUMN mergeable.ancestor_id IS 'The model without known parents from which all of the group descend, or which is one of them; where lineage runs in a circle, the first of the circle''s names.';
COMMENT ON COLUMN mergeable.model_id IS 'A model of the group. One that descends from several such ancestors is in several groups.';
COMMENT ON COLUMN mergeable.format IS 'The format that its tensors were read from.';
COMMENT ON COLUMN mergeable.models IS 'Models in the group.';
