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
