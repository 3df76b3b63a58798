-- The views that people query first.

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

CREATE VIEW coverage AS
WITH missing AS (
    SELECT hub,
        task IS NULL AS task, library IS NULL AS library, license IS NULL AS license,
        architecture IS NULL AS architecture, parameters IS NULL AS parameters, downloads IS NULL AS downloads,
        created_at IS NULL AS created_at,
        model_id NOT IN (SELECT model_id FROM card) AS card,
        model_id NOT IN (SELECT model_id FROM tensor) AS tensors,
        model_id NOT IN (SELECT model_id FROM file) AS files,
        model_id NOT IN (SELECT model_id FROM tag WHERE kind = 'language') AS language,
        model_id NOT IN (SELECT model_id FROM link WHERE kind = 'dataset') AS datasets,
        model_id NOT IN (SELECT model_id FROM link WHERE kind = 'paper') AS papers,
        model_id NOT IN (SELECT model_id FROM evaluation) AS evaluations,
        model_id NOT IN (SELECT child_id FROM lineage) AS base_model
    FROM model WHERE deleted_at IS NULL AND hub NOT IN ('zoo', 'made')
), shares AS (
    SELECT hub, count(*) AS models, avg(COLUMNS(* EXCLUDE (hub))::INTEGER) FROM missing GROUP BY hub
)
UNPIVOT shares ON COLUMNS(* EXCLUDE (hub, models)) INTO NAME field VALUE missing_share;

COMMENT ON VIEW coverage IS 'What the mined hubs leave out: for each hub and field, the share of models that lack it.';
COMMENT ON COLUMN coverage.hub IS 'The hub.';
COMMENT ON COLUMN coverage.models IS 'Models of that hub that exist.';
COMMENT ON COLUMN coverage.field IS 'A column of model, or something that a model may have: card, tensors, datasets, ...';
COMMENT ON COLUMN coverage.missing_share IS 'Share of those models without it, 0 to 1.';
