BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('1b5f0d9ad7c1');
CREATE TABLE assessments (
	assessment_id VARCHAR(50) NOT NULL, 
	trace_id VARCHAR(50) NOT NULL, 
	name VARCHAR(250) NOT NULL, 
	assessment_type VARCHAR(20) NOT NULL, 
	value TEXT NOT NULL, 
	error TEXT, 
	created_timestamp BIGINT NOT NULL, 
	last_updated_timestamp BIGINT NOT NULL, 
	source_type VARCHAR(50) NOT NULL, 
	source_id VARCHAR(250), 
	run_id VARCHAR(32), 
	span_id VARCHAR(50), 
	rationale TEXT, 
	overrides VARCHAR(50), 
	valid BOOLEAN NOT NULL, 
	assessment_metadata TEXT, 
	CONSTRAINT assessments_pk PRIMARY KEY (assessment_id), 
	CONSTRAINT fk_assessments_trace_id FOREIGN KEY(trace_id) REFERENCES trace_info (request_id) ON DELETE CASCADE
);
CREATE TABLE "datasets" (
	dataset_uuid VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	digest VARCHAR(36) NOT NULL, 
	dataset_source_type VARCHAR(36) NOT NULL, 
	dataset_source TEXT NOT NULL, 
	dataset_schema TEXT, 
	dataset_profile TEXT, 
	CONSTRAINT dataset_pk PRIMARY KEY (experiment_id, name, digest), 
	CONSTRAINT fk_datasets_experiment_id_experiments FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
INSERT INTO "datasets" VALUES('1b953e2cdc0c4b0b8a0658edaf28cc4b',2,'rows','c42e9dfe','code','{"tags": {"mlflow.user": "me", "mlflow.source.name": "-", "mlflow.source.type": "LOCAL"}}','{"mlflow_colspec": [{"type": "double", "name": "a", "required": true}]}','{"num_rows": 2, "num_elements": 2}');
CREATE TABLE endpoint_bindings (
	endpoint_id VARCHAR(36) NOT NULL, 
	resource_type VARCHAR(50) NOT NULL, 
	resource_id VARCHAR(255) NOT NULL, 
	created_at BIGINT NOT NULL, 
	created_by VARCHAR(255), 
	last_updated_at BIGINT NOT NULL, 
	last_updated_by VARCHAR(255), display_name VARCHAR(255), 
	CONSTRAINT endpoint_bindings_pk PRIMARY KEY (endpoint_id, resource_type, resource_id), 
	CONSTRAINT fk_endpoint_bindings_endpoint_id FOREIGN KEY(endpoint_id) REFERENCES endpoints (endpoint_id) ON DELETE CASCADE
);
CREATE TABLE endpoint_model_mappings (
	mapping_id VARCHAR(36) NOT NULL, 
	endpoint_id VARCHAR(36) NOT NULL, 
	model_definition_id VARCHAR(36) NOT NULL, 
	weight FLOAT NOT NULL, 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, linkage_type VARCHAR(64) DEFAULT 'PRIMARY' NOT NULL, fallback_order INTEGER, 
	CONSTRAINT endpoint_model_mappings_pk PRIMARY KEY (mapping_id), 
	CONSTRAINT fk_endpoint_model_mappings_endpoint_id FOREIGN KEY(endpoint_id) REFERENCES endpoints (endpoint_id) ON DELETE CASCADE, 
	CONSTRAINT fk_endpoint_model_mappings_model_definition_id FOREIGN KEY(model_definition_id) REFERENCES model_definitions (model_definition_id)
);
CREATE TABLE endpoint_tags (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(5000), 
	endpoint_id VARCHAR(36) NOT NULL, 
	CONSTRAINT endpoint_tag_pk PRIMARY KEY ("key", endpoint_id), 
	CONSTRAINT fk_endpoint_tags_endpoint_id FOREIGN KEY(endpoint_id) REFERENCES endpoints (endpoint_id) ON DELETE CASCADE
);
CREATE TABLE "endpoints" (
	endpoint_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255), 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, 
	last_updated_by VARCHAR(255), 
	last_updated_at BIGINT NOT NULL, 
	routing_strategy VARCHAR(64), 
	fallback_config_json TEXT, 
	experiment_id INTEGER, 
	usage_tracking BOOLEAN DEFAULT '0' NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT endpoints_pk PRIMARY KEY (endpoint_id), 
	CONSTRAINT fk_endpoints_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE SET NULL, 
	CONSTRAINT uq_endpoints_workspace_name UNIQUE (workspace, name)
);
CREATE TABLE entity_associations (
	association_id VARCHAR(36) NOT NULL, 
	source_type VARCHAR(36) NOT NULL, 
	source_id VARCHAR(36) NOT NULL, 
	destination_type VARCHAR(36) NOT NULL, 
	destination_id VARCHAR(36) NOT NULL, 
	created_time BIGINT, 
	CONSTRAINT entity_associations_pk PRIMARY KEY (source_type, source_id, destination_type, destination_id)
);
CREATE TABLE "evaluation_dataset_records" (
	dataset_record_id VARCHAR(36) NOT NULL, 
	dataset_id VARCHAR(36) NOT NULL, 
	inputs JSON NOT NULL, 
	expectations JSON, 
	tags JSON, 
	source JSON, 
	source_id VARCHAR(36), 
	source_type VARCHAR(255), 
	created_time BIGINT, 
	last_update_time BIGINT, 
	created_by VARCHAR(255), 
	last_updated_by VARCHAR(255), 
	input_hash VARCHAR(64) NOT NULL, outputs JSON, 
	CONSTRAINT evaluation_dataset_records_pk PRIMARY KEY (dataset_record_id), 
	CONSTRAINT fk_evaluation_dataset_records_dataset_id FOREIGN KEY(dataset_id) REFERENCES evaluation_datasets (dataset_id) ON DELETE CASCADE, 
	CONSTRAINT unique_dataset_input UNIQUE (dataset_id, input_hash)
);
CREATE TABLE evaluation_dataset_tags (
	dataset_id VARCHAR(36) NOT NULL, 
	"key" VARCHAR(255) NOT NULL, 
	value VARCHAR(5000), 
	CONSTRAINT evaluation_dataset_tags_pk PRIMARY KEY (dataset_id, "key"), 
	CONSTRAINT fk_evaluation_dataset_tags_dataset_id FOREIGN KEY(dataset_id) REFERENCES evaluation_datasets (dataset_id) ON DELETE CASCADE
);
CREATE TABLE "evaluation_datasets" (
	dataset_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	schema TEXT, 
	profile TEXT, 
	digest VARCHAR(64), 
	created_time BIGINT, 
	last_update_time BIGINT, 
	created_by VARCHAR(255), 
	last_updated_by VARCHAR(255), 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT evaluation_datasets_pk PRIMARY KEY (dataset_id)
);
CREATE TABLE experiment_tags (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(5000), 
	experiment_id INTEGER NOT NULL, 
	CONSTRAINT experiment_tag_pk PRIMARY KEY ("key", experiment_id), 
	FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id)
);
INSERT INTO "experiment_tags" VALUES('team','ü 😀',2);
CREATE TABLE "experiments" (
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	artifact_location VARCHAR(256), 
	lifecycle_stage VARCHAR(32), 
	creation_time BIGINT, 
	last_update_time BIGINT, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT experiment_pk PRIMARY KEY (experiment_id), 
	CONSTRAINT experiments_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT uq_experiments_workspace_name UNIQUE (workspace, name)
);
INSERT INTO "experiments" VALUES(0,'Default','/tmp/tmprylxcpim/mlruns/0','active',1796032352055,1796032352055,'default');
INSERT INTO "experiments" VALUES(1,'gone','mlflow-artifacts:/1','deleted',1796032352058,1796032352269,'default');
INSERT INTO "experiments" VALUES(2,'work','mlflow-artifacts:/2','active',1796032352061,1796032352061,'default');
CREATE TABLE input_tags (
	input_uuid VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	value VARCHAR(500) NOT NULL, 
	CONSTRAINT input_tags_pk PRIMARY KEY (input_uuid, name)
);
INSERT INTO "input_tags" VALUES('d6766039aef14b05a5eed6d69287f682','mlflow.data.context','training');
CREATE TABLE inputs (
	input_uuid VARCHAR(36) NOT NULL, 
	source_type VARCHAR(36) NOT NULL, 
	source_id VARCHAR(36) NOT NULL, 
	destination_type VARCHAR(36) NOT NULL, 
	destination_id VARCHAR(36) NOT NULL, step BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT inputs_pk PRIMARY KEY (source_type, source_id, destination_type, destination_id)
);
INSERT INTO "inputs" VALUES('d6766039aef14b05a5eed6d69287f682','DATASET','1b953e2cdc0c4b0b8a0658edaf28cc4b','RUN','f59cf3dd18fb48128c99c36b2899ea0a',0);
INSERT INTO "inputs" VALUES('e943fbfa3c0944469c3b4880058119b8','RUN_INPUT','04dcc035103b48bb80ec1eb0297b4151','MODEL_INPUT','m-b119386c05c74433b4905cec3b511315',0);
CREATE TABLE "jobs" (
	id VARCHAR(36) NOT NULL, 
	creation_time BIGINT NOT NULL, 
	job_name VARCHAR(500) NOT NULL, 
	params TEXT NOT NULL, 
	timeout FLOAT, 
	status INTEGER NOT NULL, 
	result TEXT, 
	retry_count INTEGER NOT NULL, 
	last_update_time BIGINT NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT jobs_pk PRIMARY KEY (id)
);
CREATE TABLE "latest_metrics" (
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT NOT NULL, 
	timestamp BIGINT, 
	step BIGINT NOT NULL, 
	is_nan BOOLEAN NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT latest_metric_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid), 
	CHECK (is_nan IN (0, 1))
);
INSERT INTO "latest_metrics" VALUES('loss',0.1,1700000000009,9,0,'f59cf3dd18fb48128c99c36b2899ea0a');
INSERT INTO "latest_metrics" VALUES('odd',4.94065645841247e-324,1700000000000,4,0,'f59cf3dd18fb48128c99c36b2899ea0a');
INSERT INTO "latest_metrics" VALUES('loss',0.1,1700000000009,9,0,'6ade116c19ce4c909d33c8433cce6b7a');
INSERT INTO "latest_metrics" VALUES('odd',4.94065645841247e-324,1700000000000,4,0,'6ade116c19ce4c909d33c8433cce6b7a');
INSERT INTO "latest_metrics" VALUES('loss',0.1,1700000000009,9,0,'13de7082daac4e66b5a91ec6e9527616');
INSERT INTO "latest_metrics" VALUES('odd',4.94065645841247e-324,1700000000000,4,0,'13de7082daac4e66b5a91ec6e9527616');
INSERT INTO "latest_metrics" VALUES('loss',0.1,1700000000009,9,0,'f8cc9655f1894bc991a174c9b4397c0c');
INSERT INTO "latest_metrics" VALUES('odd',4.94065645841247e-324,1700000000000,4,0,'f8cc9655f1894bc991a174c9b4397c0c');
INSERT INTO "latest_metrics" VALUES('loss',0.1,1700000000009,9,0,'3254736b00704210b8ebeb5c6338924c');
INSERT INTO "latest_metrics" VALUES('odd',4.94065645841247e-324,1700000000000,4,0,'3254736b00704210b8ebeb5c6338924c');
INSERT INTO "latest_metrics" VALUES('loss',0.1,1700000000009,9,0,'830968f0454d417eb3ea637658d9a0dd');
INSERT INTO "latest_metrics" VALUES('odd',4.94065645841247e-324,1700000000000,4,0,'830968f0454d417eb3ea637658d9a0dd');
INSERT INTO "latest_metrics" VALUES('score',0.5,1796032352832,0,0,'04dcc035103b48bb80ec1eb0297b4151');
CREATE TABLE logged_model_metrics (
	model_id VARCHAR(36) NOT NULL, 
	metric_name VARCHAR(500) NOT NULL, 
	metric_timestamp_ms BIGINT NOT NULL, 
	metric_step BIGINT NOT NULL, 
	metric_value FLOAT, 
	experiment_id INTEGER NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	dataset_uuid VARCHAR(36), 
	dataset_name VARCHAR(500), 
	dataset_digest VARCHAR(36), 
	CONSTRAINT logged_model_metrics_pk PRIMARY KEY (model_id, metric_name, metric_timestamp_ms, metric_step, run_id), 
	CONSTRAINT fk_logged_model_metrics_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CONSTRAINT fk_logged_model_metrics_model_id FOREIGN KEY(model_id) REFERENCES logged_models (model_id) ON DELETE CASCADE, 
	CONSTRAINT fk_logged_model_metrics_run_id FOREIGN KEY(run_id) REFERENCES runs (run_uuid) ON DELETE CASCADE
);
INSERT INTO "logged_model_metrics" VALUES('m-b119386c05c74433b4905cec3b511315','score',1796032352832,0,0.5,0,'04dcc035103b48bb80ec1eb0297b4151',NULL,NULL,NULL);
CREATE TABLE logged_model_params (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	param_key VARCHAR(255) NOT NULL, 
	param_value TEXT NOT NULL, 
	CONSTRAINT logged_model_params_pk PRIMARY KEY (model_id, param_key), 
	CONSTRAINT fk_logged_model_params_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CONSTRAINT fk_logged_model_params_model_id FOREIGN KEY(model_id) REFERENCES logged_models (model_id) ON DELETE CASCADE
);
INSERT INTO "logged_model_params" VALUES('m-b119386c05c74433b4905cec3b511315',0,'p','1');
CREATE TABLE logged_model_tags (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	tag_key VARCHAR(255) NOT NULL, 
	tag_value TEXT NOT NULL, 
	CONSTRAINT logged_model_tags_pk PRIMARY KEY (model_id, tag_key), 
	CONSTRAINT fk_logged_model_tags_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CONSTRAINT fk_logged_model_tags_model_id FOREIGN KEY(model_id) REFERENCES logged_models (model_id) ON DELETE CASCADE
);
INSERT INTO "logged_model_tags" VALUES('m-b119386c05c74433b4905cec3b511315',0,'mlflow.user','me');
INSERT INTO "logged_model_tags" VALUES('m-b119386c05c74433b4905cec3b511315',0,'mlflow.source.name','-');
INSERT INTO "logged_model_tags" VALUES('m-b119386c05c74433b4905cec3b511315',0,'mlflow.source.type','LOCAL');
INSERT INTO "logged_model_tags" VALUES('m-b119386c05c74433b4905cec3b511315',0,'t','x');
INSERT INTO "logged_model_tags" VALUES('m-b119386c05c74433b4905cec3b511315',0,'mlflow.model.isExternal','true');
CREATE TABLE logged_models (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	artifact_location VARCHAR(1000) NOT NULL, 
	creation_timestamp_ms BIGINT NOT NULL, 
	last_updated_timestamp_ms BIGINT NOT NULL, 
	status INTEGER NOT NULL, 
	lifecycle_stage VARCHAR(32), 
	model_type VARCHAR(500), 
	source_run_id VARCHAR(32), 
	status_message VARCHAR(1000), 
	CONSTRAINT logged_models_pk PRIMARY KEY (model_id), 
	CONSTRAINT logged_models_lifecycle_stage_check CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT fk_logged_models_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
INSERT INTO "logged_models" VALUES('m-b119386c05c74433b4905cec3b511315',0,'external','/tmp/tmprylxcpim/mlruns/0/models/m-b119386c05c74433b4905cec3b511315/artifacts',1796032352745,1796032352788,2,'active',NULL,'04dcc035103b48bb80ec1eb0297b4151',NULL);
CREATE TABLE "metrics" (
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT NOT NULL, 
	timestamp BIGINT NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	step BIGINT DEFAULT '0' NOT NULL, 
	is_nan BOOLEAN DEFAULT '0' NOT NULL, 
	CONSTRAINT metric_pk PRIMARY KEY ("key", timestamp, step, run_uuid, value, is_nan), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid), 
	CHECK (is_nan IN (0, 1))
);
INSERT INTO "metrics" VALUES('loss',1.0,1700000000000,'f59cf3dd18fb48128c99c36b2899ea0a',0,0);
INSERT INTO "metrics" VALUES('loss',0.5,1700000000001,'f59cf3dd18fb48128c99c36b2899ea0a',1,0);
INSERT INTO "metrics" VALUES('loss',3.33333333333333314829e-01,1700000000002,'f59cf3dd18fb48128c99c36b2899ea0a',2,0);
INSERT INTO "metrics" VALUES('loss',0.25,1700000000003,'f59cf3dd18fb48128c99c36b2899ea0a',3,0);
INSERT INTO "metrics" VALUES('loss',0.2,1700000000004,'f59cf3dd18fb48128c99c36b2899ea0a',4,0);
INSERT INTO "metrics" VALUES('loss',1.66666666666666657414e-01,1700000000005,'f59cf3dd18fb48128c99c36b2899ea0a',5,0);
INSERT INTO "metrics" VALUES('loss',1.42857142857142849212e-01,1700000000006,'f59cf3dd18fb48128c99c36b2899ea0a',6,0);
INSERT INTO "metrics" VALUES('loss',0.125,1700000000007,'f59cf3dd18fb48128c99c36b2899ea0a',7,0);
INSERT INTO "metrics" VALUES('loss',1.11111111111111104943e-01,1700000000008,'f59cf3dd18fb48128c99c36b2899ea0a',8,0);
INSERT INTO "metrics" VALUES('loss',0.1,1700000000009,'f59cf3dd18fb48128c99c36b2899ea0a',9,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'f59cf3dd18fb48128c99c36b2899ea0a',0,1);
INSERT INTO "metrics" VALUES('odd',1.79769313486231562234e+308,1700000000000,'f59cf3dd18fb48128c99c36b2899ea0a',1,0);
INSERT INTO "metrics" VALUES('odd',-1.79769313486231562234e+308,1700000000000,'f59cf3dd18fb48128c99c36b2899ea0a',2,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'f59cf3dd18fb48128c99c36b2899ea0a',3,0);
INSERT INTO "metrics" VALUES('odd',4.94065645841247e-324,1700000000000,'f59cf3dd18fb48128c99c36b2899ea0a',4,0);
INSERT INTO "metrics" VALUES('loss',1.0,1700000000000,'6ade116c19ce4c909d33c8433cce6b7a',0,0);
INSERT INTO "metrics" VALUES('loss',0.5,1700000000001,'6ade116c19ce4c909d33c8433cce6b7a',1,0);
INSERT INTO "metrics" VALUES('loss',3.33333333333333314829e-01,1700000000002,'6ade116c19ce4c909d33c8433cce6b7a',2,0);
INSERT INTO "metrics" VALUES('loss',0.25,1700000000003,'6ade116c19ce4c909d33c8433cce6b7a',3,0);
INSERT INTO "metrics" VALUES('loss',0.2,1700000000004,'6ade116c19ce4c909d33c8433cce6b7a',4,0);
INSERT INTO "metrics" VALUES('loss',1.66666666666666657414e-01,1700000000005,'6ade116c19ce4c909d33c8433cce6b7a',5,0);
INSERT INTO "metrics" VALUES('loss',1.42857142857142849212e-01,1700000000006,'6ade116c19ce4c909d33c8433cce6b7a',6,0);
INSERT INTO "metrics" VALUES('loss',0.125,1700000000007,'6ade116c19ce4c909d33c8433cce6b7a',7,0);
INSERT INTO "metrics" VALUES('loss',1.11111111111111104943e-01,1700000000008,'6ade116c19ce4c909d33c8433cce6b7a',8,0);
INSERT INTO "metrics" VALUES('loss',0.1,1700000000009,'6ade116c19ce4c909d33c8433cce6b7a',9,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'6ade116c19ce4c909d33c8433cce6b7a',0,1);
INSERT INTO "metrics" VALUES('odd',1.79769313486231562234e+308,1700000000000,'6ade116c19ce4c909d33c8433cce6b7a',1,0);
INSERT INTO "metrics" VALUES('odd',-1.79769313486231562234e+308,1700000000000,'6ade116c19ce4c909d33c8433cce6b7a',2,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'6ade116c19ce4c909d33c8433cce6b7a',3,0);
INSERT INTO "metrics" VALUES('odd',4.94065645841247e-324,1700000000000,'6ade116c19ce4c909d33c8433cce6b7a',4,0);
INSERT INTO "metrics" VALUES('loss',1.0,1700000000000,'13de7082daac4e66b5a91ec6e9527616',0,0);
INSERT INTO "metrics" VALUES('loss',0.5,1700000000001,'13de7082daac4e66b5a91ec6e9527616',1,0);
INSERT INTO "metrics" VALUES('loss',3.33333333333333314829e-01,1700000000002,'13de7082daac4e66b5a91ec6e9527616',2,0);
INSERT INTO "metrics" VALUES('loss',0.25,1700000000003,'13de7082daac4e66b5a91ec6e9527616',3,0);
INSERT INTO "metrics" VALUES('loss',0.2,1700000000004,'13de7082daac4e66b5a91ec6e9527616',4,0);
INSERT INTO "metrics" VALUES('loss',1.66666666666666657414e-01,1700000000005,'13de7082daac4e66b5a91ec6e9527616',5,0);
INSERT INTO "metrics" VALUES('loss',1.42857142857142849212e-01,1700000000006,'13de7082daac4e66b5a91ec6e9527616',6,0);
INSERT INTO "metrics" VALUES('loss',0.125,1700000000007,'13de7082daac4e66b5a91ec6e9527616',7,0);
INSERT INTO "metrics" VALUES('loss',1.11111111111111104943e-01,1700000000008,'13de7082daac4e66b5a91ec6e9527616',8,0);
INSERT INTO "metrics" VALUES('loss',0.1,1700000000009,'13de7082daac4e66b5a91ec6e9527616',9,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'13de7082daac4e66b5a91ec6e9527616',0,1);
INSERT INTO "metrics" VALUES('odd',1.79769313486231562234e+308,1700000000000,'13de7082daac4e66b5a91ec6e9527616',1,0);
INSERT INTO "metrics" VALUES('odd',-1.79769313486231562234e+308,1700000000000,'13de7082daac4e66b5a91ec6e9527616',2,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'13de7082daac4e66b5a91ec6e9527616',3,0);
INSERT INTO "metrics" VALUES('odd',4.94065645841247e-324,1700000000000,'13de7082daac4e66b5a91ec6e9527616',4,0);
INSERT INTO "metrics" VALUES('loss',1.0,1700000000000,'f8cc9655f1894bc991a174c9b4397c0c',0,0);
INSERT INTO "metrics" VALUES('loss',0.5,1700000000001,'f8cc9655f1894bc991a174c9b4397c0c',1,0);
INSERT INTO "metrics" VALUES('loss',3.33333333333333314829e-01,1700000000002,'f8cc9655f1894bc991a174c9b4397c0c',2,0);
INSERT INTO "metrics" VALUES('loss',0.25,1700000000003,'f8cc9655f1894bc991a174c9b4397c0c',3,0);
INSERT INTO "metrics" VALUES('loss',0.2,1700000000004,'f8cc9655f1894bc991a174c9b4397c0c',4,0);
INSERT INTO "metrics" VALUES('loss',1.66666666666666657414e-01,1700000000005,'f8cc9655f1894bc991a174c9b4397c0c',5,0);
INSERT INTO "metrics" VALUES('loss',1.42857142857142849212e-01,1700000000006,'f8cc9655f1894bc991a174c9b4397c0c',6,0);
INSERT INTO "metrics" VALUES('loss',0.125,1700000000007,'f8cc9655f1894bc991a174c9b4397c0c',7,0);
INSERT INTO "metrics" VALUES('loss',1.11111111111111104943e-01,1700000000008,'f8cc9655f1894bc991a174c9b4397c0c',8,0);
INSERT INTO "metrics" VALUES('loss',0.1,1700000000009,'f8cc9655f1894bc991a174c9b4397c0c',9,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'f8cc9655f1894bc991a174c9b4397c0c',0,1);
INSERT INTO "metrics" VALUES('odd',1.79769313486231562234e+308,1700000000000,'f8cc9655f1894bc991a174c9b4397c0c',1,0);
INSERT INTO "metrics" VALUES('odd',-1.79769313486231562234e+308,1700000000000,'f8cc9655f1894bc991a174c9b4397c0c',2,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'f8cc9655f1894bc991a174c9b4397c0c',3,0);
INSERT INTO "metrics" VALUES('odd',4.94065645841247e-324,1700000000000,'f8cc9655f1894bc991a174c9b4397c0c',4,0);
INSERT INTO "metrics" VALUES('loss',1.0,1700000000000,'3254736b00704210b8ebeb5c6338924c',0,0);
INSERT INTO "metrics" VALUES('loss',0.5,1700000000001,'3254736b00704210b8ebeb5c6338924c',1,0);
INSERT INTO "metrics" VALUES('loss',3.33333333333333314829e-01,1700000000002,'3254736b00704210b8ebeb5c6338924c',2,0);
INSERT INTO "metrics" VALUES('loss',0.25,1700000000003,'3254736b00704210b8ebeb5c6338924c',3,0);
INSERT INTO "metrics" VALUES('loss',0.2,1700000000004,'3254736b00704210b8ebeb5c6338924c',4,0);
INSERT INTO "metrics" VALUES('loss',1.66666666666666657414e-01,1700000000005,'3254736b00704210b8ebeb5c6338924c',5,0);
INSERT INTO "metrics" VALUES('loss',1.42857142857142849212e-01,1700000000006,'3254736b00704210b8ebeb5c6338924c',6,0);
INSERT INTO "metrics" VALUES('loss',0.125,1700000000007,'3254736b00704210b8ebeb5c6338924c',7,0);
INSERT INTO "metrics" VALUES('loss',1.11111111111111104943e-01,1700000000008,'3254736b00704210b8ebeb5c6338924c',8,0);
INSERT INTO "metrics" VALUES('loss',0.1,1700000000009,'3254736b00704210b8ebeb5c6338924c',9,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'3254736b00704210b8ebeb5c6338924c',0,1);
INSERT INTO "metrics" VALUES('odd',1.79769313486231562234e+308,1700000000000,'3254736b00704210b8ebeb5c6338924c',1,0);
INSERT INTO "metrics" VALUES('odd',-1.79769313486231562234e+308,1700000000000,'3254736b00704210b8ebeb5c6338924c',2,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'3254736b00704210b8ebeb5c6338924c',3,0);
INSERT INTO "metrics" VALUES('odd',4.94065645841247e-324,1700000000000,'3254736b00704210b8ebeb5c6338924c',4,0);
INSERT INTO "metrics" VALUES('loss',1.0,1700000000000,'830968f0454d417eb3ea637658d9a0dd',0,0);
INSERT INTO "metrics" VALUES('loss',0.5,1700000000001,'830968f0454d417eb3ea637658d9a0dd',1,0);
INSERT INTO "metrics" VALUES('loss',3.33333333333333314829e-01,1700000000002,'830968f0454d417eb3ea637658d9a0dd',2,0);
INSERT INTO "metrics" VALUES('loss',0.25,1700000000003,'830968f0454d417eb3ea637658d9a0dd',3,0);
INSERT INTO "metrics" VALUES('loss',0.2,1700000000004,'830968f0454d417eb3ea637658d9a0dd',4,0);
INSERT INTO "metrics" VALUES('loss',1.66666666666666657414e-01,1700000000005,'830968f0454d417eb3ea637658d9a0dd',5,0);
INSERT INTO "metrics" VALUES('loss',1.42857142857142849212e-01,1700000000006,'830968f0454d417eb3ea637658d9a0dd',6,0);
INSERT INTO "metrics" VALUES('loss',0.125,1700000000007,'830968f0454d417eb3ea637658d9a0dd',7,0);
INSERT INTO "metrics" VALUES('loss',1.11111111111111104943e-01,1700000000008,'830968f0454d417eb3ea637658d9a0dd',8,0);
INSERT INTO "metrics" VALUES('loss',0.1,1700000000009,'830968f0454d417eb3ea637658d9a0dd',9,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'830968f0454d417eb3ea637658d9a0dd',0,1);
INSERT INTO "metrics" VALUES('odd',1.79769313486231562234e+308,1700000000000,'830968f0454d417eb3ea637658d9a0dd',1,0);
INSERT INTO "metrics" VALUES('odd',-1.79769313486231562234e+308,1700000000000,'830968f0454d417eb3ea637658d9a0dd',2,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'830968f0454d417eb3ea637658d9a0dd',3,0);
INSERT INTO "metrics" VALUES('odd',4.94065645841247e-324,1700000000000,'830968f0454d417eb3ea637658d9a0dd',4,0);
INSERT INTO "metrics" VALUES('score',0.5,1796032352832,'04dcc035103b48bb80ec1eb0297b4151',0,0);
CREATE TABLE "model_definitions" (
	model_definition_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	secret_id VARCHAR(36), 
	provider VARCHAR(64) NOT NULL, 
	model_name VARCHAR(256) NOT NULL, 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, 
	last_updated_by VARCHAR(255), 
	last_updated_at BIGINT NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT model_definitions_pk PRIMARY KEY (model_definition_id), 
	CONSTRAINT fk_model_definitions_secret_id FOREIGN KEY(secret_id) REFERENCES secrets (secret_id) ON DELETE SET NULL, 
	CONSTRAINT uq_model_definitions_workspace_name UNIQUE (workspace, name)
);
CREATE TABLE "model_version_tags" (
	"key" VARCHAR(250) NOT NULL, 
	value TEXT, 
	name VARCHAR(256) NOT NULL, 
	version INTEGER NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT model_version_tag_pk PRIMARY KEY (workspace, "key", name, version), 
	CONSTRAINT fk_model_version_tags_model_versions FOREIGN KEY(workspace, name, version) REFERENCES model_versions (workspace, name, version) ON UPDATE CASCADE
);
INSERT INTO "model_version_tags" VALUES('n','0','iris',1,'default');
INSERT INTO "model_version_tags" VALUES('n','1','iris',2,'default');
INSERT INTO "model_version_tags" VALUES('n','2','iris',3,'default');
INSERT INTO "model_version_tags" VALUES('n','0','wine',1,'default');
INSERT INTO "model_version_tags" VALUES('n','1','wine',2,'default');
INSERT INTO "model_version_tags" VALUES('n','2','wine',3,'default');
CREATE TABLE "model_versions" (
	name VARCHAR(256) NOT NULL, 
	version INTEGER NOT NULL, 
	creation_time BIGINT, 
	last_updated_time BIGINT, 
	description VARCHAR(5000), 
	user_id VARCHAR(256), 
	current_stage VARCHAR(20), 
	source VARCHAR(500), 
	run_id VARCHAR(32), 
	status VARCHAR(20), 
	status_message VARCHAR(500), 
	run_link VARCHAR(500), 
	storage_location VARCHAR(500), 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT model_version_pk PRIMARY KEY (workspace, name, version), 
	CONSTRAINT fk_model_versions_registered_models FOREIGN KEY(workspace, name) REFERENCES registered_models (workspace, name) ON UPDATE CASCADE
);
INSERT INTO "model_versions" VALUES('iris',1,1796032352297,1796032352297,NULL,NULL,'None','mlflow-artifacts:/2/f59cf3dd18fb48128c99c36b2899ea0a/artifacts/model','f59cf3dd18fb48128c99c36b2899ea0a','READY',NULL,NULL,'mlflow-artifacts:/2/f59cf3dd18fb48128c99c36b2899ea0a/artifacts/model','default');
INSERT INTO "model_versions" VALUES('iris',2,1796032352311,1796032352311,NULL,NULL,'None','mlflow-artifacts:/2/6ade116c19ce4c909d33c8433cce6b7a/artifacts/model','6ade116c19ce4c909d33c8433cce6b7a','READY',NULL,NULL,'mlflow-artifacts:/2/6ade116c19ce4c909d33c8433cce6b7a/artifacts/model','default');
INSERT INTO "model_versions" VALUES('iris',3,1796032352315,1796032352315,NULL,NULL,'None','mlflow-artifacts:/2/13de7082daac4e66b5a91ec6e9527616/artifacts/model','13de7082daac4e66b5a91ec6e9527616','READY',NULL,NULL,'mlflow-artifacts:/2/13de7082daac4e66b5a91ec6e9527616/artifacts/model','default');
INSERT INTO "model_versions" VALUES('wine',1,1796032352356,1796032352388,NULL,NULL,'Deleted_Internal','REDACTED-SOURCE-PATH','REDACTED-RUN-ID','READY',NULL,'REDACTED-RUN-LINK','mlflow-artifacts:/2/f59cf3dd18fb48128c99c36b2899ea0a/artifacts/model','default');
INSERT INTO "model_versions" VALUES('wine',2,1796032352361,1796032352361,NULL,NULL,'None','mlflow-artifacts:/2/6ade116c19ce4c909d33c8433cce6b7a/artifacts/model','6ade116c19ce4c909d33c8433cce6b7a','READY',NULL,NULL,'mlflow-artifacts:/2/6ade116c19ce4c909d33c8433cce6b7a/artifacts/model','default');
INSERT INTO "model_versions" VALUES('wine',3,1796032352366,1796032352366,NULL,NULL,'None','mlflow-artifacts:/2/13de7082daac4e66b5a91ec6e9527616/artifacts/model','13de7082daac4e66b5a91ec6e9527616','READY',NULL,NULL,'mlflow-artifacts:/2/13de7082daac4e66b5a91ec6e9527616/artifacts/model','default');
CREATE TABLE online_scoring_configs (
	online_scoring_config_id VARCHAR(36) NOT NULL, 
	scorer_id VARCHAR(36) NOT NULL, 
	sample_rate FLOAT NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	filter_string TEXT, 
	CONSTRAINT online_scoring_config_pk PRIMARY KEY (online_scoring_config_id), 
	CONSTRAINT fk_online_scoring_configs_scorer_id FOREIGN KEY(scorer_id) REFERENCES scorers (scorer_id) ON DELETE CASCADE, 
	CONSTRAINT fk_online_scoring_configs_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id)
);
CREATE TABLE "params" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000) NOT NULL, 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT param_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO "params" VALUES('depth','0','f59cf3dd18fb48128c99c36b2899ea0a');
INSERT INTO "params" VALUES('text','long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long ','f59cf3dd18fb48128c99c36b2899ea0a');
INSERT INTO "params" VALUES('depth','1','6ade116c19ce4c909d33c8433cce6b7a');
INSERT INTO "params" VALUES('text','long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long ','6ade116c19ce4c909d33c8433cce6b7a');
INSERT INTO "params" VALUES('depth','2','13de7082daac4e66b5a91ec6e9527616');
INSERT INTO "params" VALUES('text','long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long ','13de7082daac4e66b5a91ec6e9527616');
INSERT INTO "params" VALUES('depth','3','f8cc9655f1894bc991a174c9b4397c0c');
INSERT INTO "params" VALUES('text','long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long ','f8cc9655f1894bc991a174c9b4397c0c');
INSERT INTO "params" VALUES('depth','4','3254736b00704210b8ebeb5c6338924c');
INSERT INTO "params" VALUES('text','long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long ','3254736b00704210b8ebeb5c6338924c');
INSERT INTO "params" VALUES('depth','5','830968f0454d417eb3ea637658d9a0dd');
INSERT INTO "params" VALUES('text','long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long ','830968f0454d417eb3ea637658d9a0dd');
CREATE TABLE "registered_model_aliases" (
	alias VARCHAR(256) NOT NULL, 
	version INTEGER NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT registered_model_alias_pk PRIMARY KEY (workspace, name, alias), 
	CONSTRAINT fk_registered_model_aliases_registered_models FOREIGN KEY(workspace, name) REFERENCES registered_models (workspace, name) ON DELETE CASCADE ON UPDATE CASCADE
);
INSERT INTO "registered_model_aliases" VALUES('champion',2,'iris','default');
INSERT INTO "registered_model_aliases" VALUES('candidate',3,'iris','default');
INSERT INTO "registered_model_aliases" VALUES('champion',2,'wine','default');
INSERT INTO "registered_model_aliases" VALUES('candidate',3,'wine','default');
CREATE TABLE "registered_model_tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(5000), 
	name VARCHAR(256) NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT registered_model_tag_pk PRIMARY KEY (workspace, "key", name), 
	CONSTRAINT fk_registered_model_tags_registered_models FOREIGN KEY(workspace, name) REFERENCES registered_models (workspace, name) ON UPDATE CASCADE
);
INSERT INTO "registered_model_tags" VALUES('kind','test','iris','default');
INSERT INTO "registered_model_tags" VALUES('kind','test','wine','default');
CREATE TABLE "registered_models" (
	name VARCHAR(256) NOT NULL, 
	creation_time BIGINT, 
	last_updated_time BIGINT, 
	description VARCHAR(5000), 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT registered_model_pk PRIMARY KEY (workspace, name)
);
INSERT INTO "registered_models" VALUES('iris',1796032352290,1796032352315,'The model iris','default');
INSERT INTO "registered_models" VALUES('wine',1796032352353,1796032352388,'The model wine','default');
CREATE TABLE "runs" (
	run_uuid VARCHAR(32) NOT NULL, 
	name VARCHAR(250), 
	source_type VARCHAR(20), 
	source_name VARCHAR(500), 
	entry_point_name VARCHAR(50), 
	user_id VARCHAR(256), 
	status VARCHAR(9), 
	start_time BIGINT, 
	end_time BIGINT, 
	source_version VARCHAR(50), 
	lifecycle_stage VARCHAR(20), 
	artifact_uri VARCHAR(200), 
	experiment_id INTEGER, deleted_time BIGINT, 
	CONSTRAINT run_pk PRIMARY KEY (run_uuid), 
	CONSTRAINT runs_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	CONSTRAINT source_type CHECK (source_type IN ('NOTEBOOK', 'JOB', 'LOCAL', 'UNKNOWN', 'PROJECT')), 
	FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CHECK (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING', 'KILLED'))
);
INSERT INTO "runs" VALUES('f59cf3dd18fb48128c99c36b2899ea0a','run 0','UNKNOWN','','','unknown','FINISHED',1796032352063,1796032352692,'','active','mlflow-artifacts:/2/f59cf3dd18fb48128c99c36b2899ea0a/artifacts',2,NULL);
INSERT INTO "runs" VALUES('6ade116c19ce4c909d33c8433cce6b7a','run 1','UNKNOWN','','','unknown','FAILED',1796032352097,1796032352118,'','active','mlflow-artifacts:/2/6ade116c19ce4c909d33c8433cce6b7a/artifacts',2,NULL);
INSERT INTO "runs" VALUES('13de7082daac4e66b5a91ec6e9527616','run 2','UNKNOWN','','','unknown','KILLED',1796032352126,1796032352144,'','active','mlflow-artifacts:/2/13de7082daac4e66b5a91ec6e9527616/artifacts',2,NULL);
INSERT INTO "runs" VALUES('f8cc9655f1894bc991a174c9b4397c0c','run 3','UNKNOWN','','','unknown','FINISHED',1796032352147,1796032352191,'','deleted','mlflow-artifacts:/2/f8cc9655f1894bc991a174c9b4397c0c/artifacts',2,1796032352266);
INSERT INTO "runs" VALUES('3254736b00704210b8ebeb5c6338924c','run 4','UNKNOWN','','','unknown','FAILED',1796032352202,1796032352242,'','active','/tmp/tmprylxcpim/mlruns/0/3254736b00704210b8ebeb5c6338924c/artifacts',0,NULL);
INSERT INTO "runs" VALUES('830968f0454d417eb3ea637658d9a0dd','run 5','UNKNOWN','','','unknown','KILLED',1796032352246,1796032352262,'','active','/tmp/tmprylxcpim/mlruns/0/830968f0454d417eb3ea637658d9a0dd/artifacts',0,NULL);
INSERT INTO "runs" VALUES('04dcc035103b48bb80ec1eb0297b4151','omniscient-goat-470','UNKNOWN','','','me','FINISHED',1796032352696,1796032352872,'','active','/tmp/tmprylxcpim/mlruns/0/04dcc035103b48bb80ec1eb0297b4151/artifacts',0,NULL);
CREATE TABLE scorer_versions (
	scorer_id VARCHAR(36) NOT NULL, 
	scorer_version INTEGER NOT NULL, 
	serialized_scorer TEXT NOT NULL, 
	creation_time BIGINT, 
	CONSTRAINT scorer_version_pk PRIMARY KEY (scorer_id, scorer_version), 
	CONSTRAINT fk_scorer_versions_scorer_id FOREIGN KEY(scorer_id) REFERENCES scorers (scorer_id) ON DELETE CASCADE
);
CREATE TABLE scorers (
	experiment_id INTEGER NOT NULL, 
	scorer_name VARCHAR(256) NOT NULL, 
	scorer_id VARCHAR(36) NOT NULL, 
	CONSTRAINT scorer_pk PRIMARY KEY (scorer_id), 
	CONSTRAINT fk_scorers_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
CREATE TABLE "secrets" (
	secret_id VARCHAR(36) NOT NULL, 
	secret_name VARCHAR(255) NOT NULL, 
	encrypted_value BLOB NOT NULL, 
	wrapped_dek BLOB NOT NULL, 
	kek_version INTEGER NOT NULL, 
	masked_value VARCHAR(500) NOT NULL, 
	provider VARCHAR(64), 
	auth_config TEXT, 
	description TEXT, 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, 
	last_updated_by VARCHAR(255), 
	last_updated_at BIGINT NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT secrets_pk PRIMARY KEY (secret_id), 
	CONSTRAINT uq_secrets_workspace_secret_name UNIQUE (workspace, secret_name)
);
CREATE TABLE span_metrics (
	trace_id VARCHAR(50) NOT NULL, 
	span_id VARCHAR(50) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT, 
	CONSTRAINT span_metrics_pk PRIMARY KEY (trace_id, span_id, "key"), 
	CONSTRAINT fk_span_metrics_span FOREIGN KEY(trace_id, span_id) REFERENCES spans (trace_id, span_id) ON DELETE CASCADE
);
CREATE TABLE spans (
	trace_id VARCHAR(50) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	span_id VARCHAR(50) NOT NULL, 
	parent_span_id VARCHAR(50), 
	name TEXT, 
	type VARCHAR(500), 
	status VARCHAR(50) NOT NULL, 
	start_time_unix_nano BIGINT NOT NULL, 
	end_time_unix_nano BIGINT, 
	duration_ns BIGINT GENERATED ALWAYS AS (end_time_unix_nano - start_time_unix_nano) STORED, 
	content TEXT NOT NULL, dimension_attributes JSON, 
	CONSTRAINT spans_pk PRIMARY KEY (trace_id, span_id), 
	CONSTRAINT fk_spans_trace_id FOREIGN KEY(trace_id) REFERENCES trace_info (request_id) ON DELETE CASCADE, 
	CONSTRAINT fk_spans_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id)
);
INSERT INTO "spans" VALUES('tr-37506f0277f05673fc17942464fea460',0,'6107783a0802fdb4',NULL,'span 0','UNKNOWN','OK',1796032353022152779,1796032353144971973,'{"trace_id": "N1BvAnfwVnP8F5QkZP6kYA==", "span_id": "YQd4OggC/bQ=", "parent_span_id": null, "name": "span 0", "start_time_unix_nano": 1796032353022152779, "end_time_unix_nano": 1796032353144971973, "events": [], "status": {"code": "STATUS_CODE_OK", "message": ""}, "attributes": {"mlflow.traceRequestId": "\"tr-37506f0277f05673fc17942464fea460\"", "mlflow.spanType": "\"UNKNOWN\"", "mlflow.spanInputs": "{\"question\": 0}", "mlflow.spanOutputs": "{\"answer\": [0, \"\u00fc\"]}"}}','null');
INSERT INTO "spans" VALUES('tr-abea200d9a314a6cd4d81403e6db454a',0,'399476f8ddd9af6e',NULL,'span 1','UNKNOWN','OK',1796032353180819587,1796032353181517070,'{"trace_id": "q+ogDZoxSmzU2BQD5ttFSg==", "span_id": "OZR2+N3Zr24=", "parent_span_id": null, "name": "span 1", "start_time_unix_nano": 1796032353180819587, "end_time_unix_nano": 1796032353181517070, "events": [], "status": {"code": "STATUS_CODE_OK", "message": ""}, "attributes": {"mlflow.traceRequestId": "\"tr-abea200d9a314a6cd4d81403e6db454a\"", "mlflow.spanType": "\"UNKNOWN\"", "mlflow.spanInputs": "{\"question\": 1}", "mlflow.spanOutputs": "{\"answer\": [1, \"\u00fc\"]}"}}','null');
CREATE TABLE "tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000), 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT tag_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO "tags" VALUES('mlflow.runName','run 0','f59cf3dd18fb48128c99c36b2899ea0a');
INSERT INTO "tags" VALUES('note','née
	\ 0','f59cf3dd18fb48128c99c36b2899ea0a');
INSERT INTO "tags" VALUES('mlflow.runName','run 1','6ade116c19ce4c909d33c8433cce6b7a');
INSERT INTO "tags" VALUES('note','née
	\ 1','6ade116c19ce4c909d33c8433cce6b7a');
INSERT INTO "tags" VALUES('mlflow.runName','run 2','13de7082daac4e66b5a91ec6e9527616');
INSERT INTO "tags" VALUES('note','née
	\ 2','13de7082daac4e66b5a91ec6e9527616');
INSERT INTO "tags" VALUES('mlflow.runName','run 3','f8cc9655f1894bc991a174c9b4397c0c');
INSERT INTO "tags" VALUES('note','née
	\ 3','f8cc9655f1894bc991a174c9b4397c0c');
INSERT INTO "tags" VALUES('mlflow.runName','run 4','3254736b00704210b8ebeb5c6338924c');
INSERT INTO "tags" VALUES('note','née
	\ 4','3254736b00704210b8ebeb5c6338924c');
INSERT INTO "tags" VALUES('mlflow.runName','run 5','830968f0454d417eb3ea637658d9a0dd');
INSERT INTO "tags" VALUES('note','née
	\ 5','830968f0454d417eb3ea637658d9a0dd');
INSERT INTO "tags" VALUES('mlflow.user','me','04dcc035103b48bb80ec1eb0297b4151');
INSERT INTO "tags" VALUES('mlflow.source.name','-','04dcc035103b48bb80ec1eb0297b4151');
INSERT INTO "tags" VALUES('mlflow.source.type','LOCAL','04dcc035103b48bb80ec1eb0297b4151');
INSERT INTO "tags" VALUES('mlflow.runName','omniscient-goat-470','04dcc035103b48bb80ec1eb0297b4151');
CREATE TABLE trace_info (
	request_id VARCHAR(50) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	timestamp_ms BIGINT NOT NULL, 
	execution_time_ms BIGINT, 
	status VARCHAR(50) NOT NULL, client_request_id VARCHAR(50), request_preview VARCHAR(1000), response_preview VARCHAR(1000), 
	CONSTRAINT trace_info_pk PRIMARY KEY (request_id), 
	CONSTRAINT fk_trace_info_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id)
);
INSERT INTO "trace_info" VALUES('tr-37506f0277f05673fc17942464fea460',0,1796032353022,122,'OK',NULL,'{"question": 0}','{"answer": [0, "ü"]}');
INSERT INTO "trace_info" VALUES('tr-abea200d9a314a6cd4d81403e6db454a',0,1796032353180,0,'OK',NULL,'{"question": 1}','{"answer": [1, "ü"]}');
CREATE TABLE trace_metrics (
	request_id VARCHAR(50) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value FLOAT, 
	CONSTRAINT trace_metrics_pk PRIMARY KEY (request_id, "key"), 
	CONSTRAINT fk_trace_metrics_request_id FOREIGN KEY(request_id) REFERENCES trace_info (request_id) ON DELETE CASCADE
);
CREATE TABLE "trace_request_metadata" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000), 
	request_id VARCHAR(50) NOT NULL, 
	CONSTRAINT trace_request_metadata_pk PRIMARY KEY ("key", request_id), 
	CONSTRAINT fk_trace_request_metadata_request_id FOREIGN KEY(request_id) REFERENCES trace_info (request_id) ON DELETE CASCADE
);
INSERT INTO "trace_request_metadata" VALUES('mlflow.user','me','tr-37506f0277f05673fc17942464fea460');
INSERT INTO "trace_request_metadata" VALUES('mlflow.source.name','-','tr-37506f0277f05673fc17942464fea460');
INSERT INTO "trace_request_metadata" VALUES('mlflow.source.type','LOCAL','tr-37506f0277f05673fc17942464fea460');
INSERT INTO "trace_request_metadata" VALUES('mlflow.source.git.commit','','tr-37506f0277f05673fc17942464fea460');
INSERT INTO "trace_request_metadata" VALUES('mlflow.source.git.repoURL','','tr-37506f0277f05673fc17942464fea460');
INSERT INTO "trace_request_metadata" VALUES('mlflow.source.git.branch','','tr-37506f0277f05673fc17942464fea460');
INSERT INTO "trace_request_metadata" VALUES('mlflow.trace_schema.version','3','tr-37506f0277f05673fc17942464fea460');
INSERT INTO "trace_request_metadata" VALUES('mlflow.traceInputs','{"question": 0}','tr-37506f0277f05673fc17942464fea460');
INSERT INTO "trace_request_metadata" VALUES('mlflow.traceOutputs','{"answer": [0, "ü"]}','tr-37506f0277f05673fc17942464fea460');
INSERT INTO "trace_request_metadata" VALUES('mlflow.trace.sizeStats','{"total_size_bytes": 1210, "num_spans": 1, "max": 479, "p25": 479, "p50": 479, "p75": 479}','tr-37506f0277f05673fc17942464fea460');
INSERT INTO "trace_request_metadata" VALUES('mlflow.trace.sizeBytes','1210','tr-37506f0277f05673fc17942464fea460');
INSERT INTO "trace_request_metadata" VALUES('mlflow.user','me','tr-abea200d9a314a6cd4d81403e6db454a');
INSERT INTO "trace_request_metadata" VALUES('mlflow.source.name','-','tr-abea200d9a314a6cd4d81403e6db454a');
INSERT INTO "trace_request_metadata" VALUES('mlflow.source.type','LOCAL','tr-abea200d9a314a6cd4d81403e6db454a');
INSERT INTO "trace_request_metadata" VALUES('mlflow.source.git.commit','','tr-abea200d9a314a6cd4d81403e6db454a');
INSERT INTO "trace_request_metadata" VALUES('mlflow.source.git.repoURL','','tr-abea200d9a314a6cd4d81403e6db454a');
INSERT INTO "trace_request_metadata" VALUES('mlflow.source.git.branch','','tr-abea200d9a314a6cd4d81403e6db454a');
INSERT INTO "trace_request_metadata" VALUES('mlflow.trace_schema.version','3','tr-abea200d9a314a6cd4d81403e6db454a');
INSERT INTO "trace_request_metadata" VALUES('mlflow.traceInputs','{"question": 1}','tr-abea200d9a314a6cd4d81403e6db454a');
INSERT INTO "trace_request_metadata" VALUES('mlflow.traceOutputs','{"answer": [1, "ü"]}','tr-abea200d9a314a6cd4d81403e6db454a');
INSERT INTO "trace_request_metadata" VALUES('mlflow.trace.sizeStats','{"total_size_bytes": 1208, "num_spans": 1, "max": 479, "p25": 479, "p50": 479, "p75": 479}','tr-abea200d9a314a6cd4d81403e6db454a');
INSERT INTO "trace_request_metadata" VALUES('mlflow.trace.sizeBytes','1208','tr-abea200d9a314a6cd4d81403e6db454a');
CREATE TABLE "trace_tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000), 
	request_id VARCHAR(50) NOT NULL, 
	CONSTRAINT trace_tag_pk PRIMARY KEY ("key", request_id), 
	CONSTRAINT fk_trace_tags_request_id FOREIGN KEY(request_id) REFERENCES trace_info (request_id) ON DELETE CASCADE
);
INSERT INTO "trace_tags" VALUES('mlflow.artifactLocation','/tmp/tmprylxcpim/mlruns/0/traces/tr-37506f0277f05673fc17942464fea460/artifacts','tr-37506f0277f05673fc17942464fea460');
INSERT INTO "trace_tags" VALUES('mlflow.trace.spansLocation','TRACKING_STORE','tr-37506f0277f05673fc17942464fea460');
INSERT INTO "trace_tags" VALUES('mlflow.traceName','span 0','tr-37506f0277f05673fc17942464fea460');
INSERT INTO "trace_tags" VALUES('mlflow.artifactLocation','/tmp/tmprylxcpim/mlruns/0/traces/tr-abea200d9a314a6cd4d81403e6db454a/artifacts','tr-abea200d9a314a6cd4d81403e6db454a');
INSERT INTO "trace_tags" VALUES('mlflow.trace.spansLocation','TRACKING_STORE','tr-abea200d9a314a6cd4d81403e6db454a');
INSERT INTO "trace_tags" VALUES('mlflow.traceName','span 1','tr-abea200d9a314a6cd4d81403e6db454a');
CREATE TABLE webhook_events (
	webhook_id VARCHAR(256) NOT NULL, 
	entity VARCHAR(50) NOT NULL, 
	action VARCHAR(50) NOT NULL, 
	CONSTRAINT webhook_event_pk PRIMARY KEY (webhook_id, entity, action), 
	FOREIGN KEY(webhook_id) REFERENCES webhooks (webhook_id) ON DELETE cascade
);
CREATE TABLE "webhooks" (
	webhook_id VARCHAR(256) NOT NULL, 
	name VARCHAR(256) NOT NULL, 
	description VARCHAR(1000), 
	url VARCHAR(500) NOT NULL, 
	status VARCHAR(20) DEFAULT 'ACTIVE' NOT NULL, 
	secret VARCHAR(1000), 
	creation_timestamp BIGINT, 
	last_updated_timestamp BIGINT, 
	deleted_timestamp BIGINT, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT webhook_pk PRIMARY KEY (webhook_id)
);
CREATE TABLE workspaces (
	name VARCHAR(63) NOT NULL, 
	description TEXT, 
	default_artifact_root TEXT, 
	CONSTRAINT workspaces_pk PRIMARY KEY (name)
);
INSERT INTO "workspaces" VALUES('default','Default workspace for legacy resources',NULL);
CREATE INDEX index_metrics_run_uuid ON metrics (run_uuid);
CREATE INDEX index_latest_metrics_run_uuid ON latest_metrics (run_uuid);
CREATE INDEX index_inputs_destination_type_destination_id_source_type ON inputs (destination_type, destination_id, source_type);
CREATE INDEX index_inputs_input_uuid ON inputs (input_uuid);
CREATE INDEX index_params_run_uuid ON params (run_uuid);
CREATE INDEX index_trace_info_experiment_id_timestamp_ms ON trace_info (experiment_id, timestamp_ms);
CREATE INDEX index_trace_tags_request_id ON trace_tags (request_id);
CREATE INDEX index_trace_request_metadata_request_id ON trace_request_metadata (request_id);
CREATE INDEX index_tags_run_uuid ON tags (run_uuid);
CREATE INDEX index_datasets_experiment_id_dataset_source_type ON datasets (experiment_id, dataset_source_type);
CREATE INDEX index_datasets_dataset_uuid ON datasets (dataset_uuid);
CREATE INDEX index_logged_model_metrics_model_id ON logged_model_metrics (model_id);
CREATE INDEX index_assessments_trace_id_created_timestamp ON assessments (trace_id, created_timestamp);
CREATE INDEX index_assessments_run_id_created_timestamp ON assessments (run_id, created_timestamp);
CREATE INDEX index_assessments_last_updated_timestamp ON assessments (last_updated_timestamp);
CREATE INDEX index_assessments_assessment_type ON assessments (assessment_type);
CREATE INDEX index_spans_experiment_id ON spans (experiment_id);
CREATE INDEX index_spans_experiment_id_status_type ON spans (experiment_id, status, type);
CREATE INDEX index_spans_experiment_id_type_status ON spans (experiment_id, type, status);
CREATE INDEX index_spans_experiment_id_duration ON spans (experiment_id, duration_ns);
CREATE INDEX index_entity_associations_association_id ON entity_associations (association_id);
CREATE INDEX index_entity_associations_reverse_lookup ON entity_associations (destination_type, destination_id, source_type, source_id);
CREATE INDEX idx_webhook_events_entity ON webhook_events (entity);
CREATE INDEX idx_webhook_events_action ON webhook_events (action);
CREATE INDEX idx_webhook_events_entity_action ON webhook_events (entity, action);
CREATE UNIQUE INDEX index_scorers_experiment_id_scorer_name ON scorers (experiment_id, scorer_name);
CREATE INDEX index_scorer_versions_scorer_id ON scorer_versions (scorer_id);
CREATE INDEX index_evaluation_dataset_tags_dataset_id ON evaluation_dataset_tags (dataset_id);
CREATE INDEX index_evaluation_dataset_records_dataset_id ON evaluation_dataset_records (dataset_id);
CREATE INDEX index_endpoint_model_mappings_endpoint_id ON endpoint_model_mappings (endpoint_id);
CREATE INDEX index_endpoint_model_mappings_model_definition_id ON endpoint_model_mappings (model_definition_id);
CREATE INDEX index_endpoint_tags_endpoint_id ON endpoint_tags (endpoint_id);
CREATE INDEX index_trace_metrics_request_id ON trace_metrics (request_id);
CREATE UNIQUE INDEX unique_endpoint_model_linkage_mapping ON endpoint_model_mappings (endpoint_id, model_definition_id, linkage_type);
CREATE INDEX index_span_metrics_trace_id_span_id ON span_metrics (trace_id, span_id);
CREATE INDEX index_evaluation_datasets_name ON evaluation_datasets (name);
CREATE INDEX index_evaluation_datasets_created_time ON evaluation_datasets (created_time);
CREATE INDEX idx_webhooks_name ON webhooks (name);
CREATE INDEX idx_webhooks_status ON webhooks (status);
CREATE TRIGGER prevent_secrets_aad_mutation
BEFORE UPDATE ON secrets
FOR EACH ROW
WHEN OLD.secret_id != NEW.secret_id OR OLD.secret_name != NEW.secret_name
BEGIN
    SELECT RAISE(ABORT, 'secret_id and secret_name are immutable (used as AAD in encryption)');
END;
CREATE INDEX index_model_definitions_secret_id ON model_definitions (secret_id);
CREATE INDEX index_model_definitions_provider ON model_definitions (provider);
CREATE INDEX index_jobs_name_status_creation_time ON jobs (job_name, workspace, status, creation_time);
CREATE INDEX idx_experiments_workspace ON experiments (workspace);
CREATE INDEX idx_registered_models_workspace ON registered_models (workspace);
CREATE INDEX idx_experiments_workspace_creation_time ON experiments (workspace, creation_time);
CREATE INDEX idx_evaluation_datasets_workspace ON evaluation_datasets (workspace);
CREATE INDEX idx_webhooks_workspace ON webhooks (workspace);
CREATE INDEX idx_secrets_workspace ON secrets (workspace);
CREATE INDEX idx_endpoints_workspace ON endpoints (workspace);
CREATE INDEX idx_model_definitions_workspace ON model_definitions (workspace);
COMMIT;
