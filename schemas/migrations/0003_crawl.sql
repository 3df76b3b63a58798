-- What a crawl needs to go on where it was, and what it may fetch of each model beside the listing.

ALTER TABLE crawl ADD COLUMN listed_at TIMESTAMPTZ;
ALTER TABLE crawl ADD COLUMN watermark TIMESTAMPTZ;
COMMENT ON COLUMN crawl.query IS 'What the run was asked for, as a JSON object; with source it tells which run goes on with which.';
COMMENT ON COLUMN crawl.cursor IS 'Where the listing goes on; NULL before its first page and once it was read to its end.';
COMMENT ON COLUMN crawl.state IS 'running, finished, stopped (at a limit of its own) or failed. A run that was killed stays at running; all but finished ones can go on.';
COMMENT ON COLUMN crawl.listed_at IS 'When the listing was read to its end (UTC); NULL until then.';
COMMENT ON COLUMN crawl.watermark IS 'What was changed on the hub before this moment (UTC) is in the lake once listed_at is set; NULL for runs that list a part of the hub.';

DROP VIEW models;
ALTER TABLE model ADD COLUMN hub_id VARCHAR;
COMMENT ON COLUMN model.hub_id IS 'The hub''s own identifier, which stays the same when a model is renamed; NULL where the hub has none.';

ALTER TABLE revision ADD COLUMN title VARCHAR;
ALTER TABLE revision ADD COLUMN authors VARCHAR;
COMMENT ON COLUMN revision.source IS 'Where it is known from: listing, commits or cache.';
COMMENT ON COLUMN revision.title IS 'First line of the commit''s message; NULL where only the listing is known.';
COMMENT ON COLUMN revision.authors IS 'Its authors'' user names, joined by ", "; NULL where only the listing is known.';

COMMENT ON COLUMN event.kind IS 'deleted, renamed, restored, base_model, or the column of model that changed: license, gated, private, disabled, task.';
COMMENT ON COLUMN event.before IS 'The value before; for base_model all parents, for renamed the old name.';
COMMENT ON COLUMN event.after IS 'The value after.';
COMMENT ON COLUMN failure.stage IS 'listing (the record is lost), field (a value of it, stored as NULL), card, tensors, config, commits, discussions or file.';

CREATE TABLE fetched (
    model_id VARCHAR, what VARCHAR, sha VARCHAR, outcome VARCHAR, fetched_at TIMESTAMPTZ, crawl_id VARCHAR
);
COMMENT ON TABLE fetched IS 'What a hub was last asked about a model beside the listing, so that nothing is asked twice at one commit.';
COMMENT ON COLUMN fetched.model_id IS 'The model.';
COMMENT ON COLUMN fetched.what IS 'cards, configs, tensors, commits, discussions or files.';
COMMENT ON COLUMN fetched.sha IS 'The model''s newest commit that was known then; NULL where none was.';
COMMENT ON COLUMN fetched.outcome IS 'stored, absent (the model has none) or failed (see failure).';
COMMENT ON COLUMN fetched.fetched_at IS 'When (UTC).';
COMMENT ON COLUMN fetched.crawl_id IS 'The run that asked; NULL where that was not written down.';
INSERT INTO fetched BY NAME SELECT model_id, 'cards' AS what, sha, 'stored' AS outcome, fetched_at FROM card;
INSERT INTO fetched BY NAME
SELECT model_id, 'tensors' AS what, sha, 'stored' AS outcome, last_seen AS fetched_at
FROM model SEMI JOIN tensor USING (model_id) WHERE hub NOT IN ('zoo', 'made', 'local');

CREATE TABLE config (model_id VARCHAR, sha VARCHAR, config JSON, bytes BIGINT, fetched_at TIMESTAMPTZ);
COMMENT ON TABLE config IS 'The config.json of a model''s repository.';
COMMENT ON COLUMN config.model_id IS 'The model.';
COMMENT ON COLUMN config.sha IS 'The commit that it was read from; NULL where unknown.';
COMMENT ON COLUMN config.config IS 'The whole of it, a JSON object.';
COMMENT ON COLUMN config.bytes IS 'Size of the file.';
COMMENT ON COLUMN config.fetched_at IS 'When it was read (UTC).';

CREATE TABLE discussion (
    model_id VARCHAR, number BIGINT, title VARCHAR, author VARCHAR, status VARCHAR, is_pull_request BOOLEAN,
    created_at TIMESTAMPTZ
);
COMMENT ON TABLE discussion IS 'A discussion or pull request on a model''s page.';
COMMENT ON COLUMN discussion.model_id IS 'The model.';
COMMENT ON COLUMN discussion.number IS 'Its number there.';
COMMENT ON COLUMN discussion.title IS 'Its title.';
COMMENT ON COLUMN discussion.author IS 'User name of whoever opened it; NULL where the account is gone.';
COMMENT ON COLUMN discussion.status IS 'open, closed, merged or draft.';
COMMENT ON COLUMN discussion.is_pull_request IS 'Whether it proposes a change.';
COMMENT ON COLUMN discussion.created_at IS 'When it was opened (UTC).';

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
