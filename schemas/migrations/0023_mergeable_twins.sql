-- A twin whose units are in another order lies elsewhere than its original, and is not grouped with what that comes from.

CREATE OR REPLACE VIEW mergeable AS
WITH RECURSIVE edge AS MATERIALIZED (
    SELECT DISTINCT child_id, parent_id FROM lineage
    WHERE child_id <> parent_id AND coalesce(relation, '') NOT IN ('permuted', 'aligned')
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

COMMENT ON VIEW mergeable IS 'Models whose tensors have equal names and shapes and who descend from one model: groups by fingerprint and ancestor. A twin with its units in another order (permuted, aligned) does not descend from its original.';
COMMENT ON COLUMN mergeable.fingerprint IS 'The fingerprint that the models of the group share.';
COMMENT ON COLUMN mergeable.ancestor_id IS 'The model without known parents from which all of the group descend, or which is one of them; where lineage runs in a circle, the first of the circle''s names.';
COMMENT ON COLUMN mergeable.model_id IS 'A model of the group. One that descends from several such ancestors is in several groups.';
COMMENT ON COLUMN mergeable.format IS 'The format that its tensors were read from.';
COMMENT ON COLUMN mergeable.models IS 'Models in the group.';
COMMENT ON COLUMN lineage.relation IS 'finetune, adapter, quantized, merge, soup, stitch, initialised-from, permuted or aligned (the same function with its units in another order), or base where the hub does not say which.';
