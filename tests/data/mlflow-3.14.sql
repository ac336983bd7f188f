BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('b7e4c1a90f23');
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
CREATE TABLE budget_policies (
	budget_policy_id VARCHAR(36) NOT NULL, 
	budget_unit VARCHAR(32) NOT NULL, 
	budget_amount FLOAT NOT NULL, 
	duration_unit VARCHAR(32) NOT NULL, 
	duration_value INTEGER NOT NULL, 
	target_scope VARCHAR(32) NOT NULL, 
	budget_action VARCHAR(32) NOT NULL, 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, 
	last_updated_by VARCHAR(255), 
	last_updated_at BIGINT NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT budget_policies_pk PRIMARY KEY (budget_policy_id)
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
INSERT INTO "datasets" VALUES('aa8a23a3de6a49898dc8483c0982cca6',2,'rows','c42e9dfe','code','{"tags": {"mlflow.user": "me", "mlflow.source.name": "-", "mlflow.source.type": "LOCAL"}}','{"mlflow_colspec": [{"type": "double", "name": "a", "required": true}]}','{"num_rows": 2, "num_elements": 2}');
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
INSERT INTO "experiments" VALUES(0,'Default','/tmp/tmpb1q82k7k/mlruns/0','active',1796032360133,1796032360133,'default');
INSERT INTO "experiments" VALUES(1,'gone','mlflow-artifacts:/1','deleted',1796032360135,1796032360276,'default');
INSERT INTO "experiments" VALUES(2,'work','mlflow-artifacts:/2','active',1796032360138,1796032360138,'default');
CREATE TABLE guardrail_configs (
	endpoint_id VARCHAR(36) NOT NULL, 
	guardrail_id VARCHAR(36) NOT NULL, 
	execution_order INTEGER, 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT guardrail_configs_pk PRIMARY KEY (endpoint_id, guardrail_id), 
	CONSTRAINT fk_guardrail_configs_endpoint_id FOREIGN KEY(endpoint_id) REFERENCES endpoints (endpoint_id) ON DELETE CASCADE, 
	CONSTRAINT fk_guardrail_configs_guardrail_id FOREIGN KEY(guardrail_id) REFERENCES guardrails (guardrail_id) ON DELETE CASCADE
);
CREATE TABLE guardrails (
	guardrail_id VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	scorer_id VARCHAR(36) NOT NULL, 
	scorer_version INTEGER NOT NULL, 
	stage VARCHAR(32) NOT NULL, 
	action VARCHAR(32) NOT NULL, 
	action_endpoint_id VARCHAR(36), 
	created_by VARCHAR(255), 
	created_at BIGINT NOT NULL, 
	last_updated_by VARCHAR(255), 
	last_updated_at BIGINT NOT NULL, 
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, 
	CONSTRAINT guardrails_pk PRIMARY KEY (guardrail_id), 
	CONSTRAINT fk_guardrails_scorer_version FOREIGN KEY(scorer_id, scorer_version) REFERENCES scorer_versions (scorer_id, scorer_version), 
	CONSTRAINT fk_guardrails_action_endpoint_id FOREIGN KEY(action_endpoint_id) REFERENCES endpoints (endpoint_id) ON DELETE SET NULL
);
CREATE TABLE input_tags (
	input_uuid VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	value VARCHAR(500) NOT NULL, 
	CONSTRAINT input_tags_pk PRIMARY KEY (input_uuid, name)
);
INSERT INTO "input_tags" VALUES('7abd73a684514eae83bef31e322826b1','mlflow.data.context','training');
CREATE TABLE inputs (
	input_uuid VARCHAR(36) NOT NULL, 
	source_type VARCHAR(36) NOT NULL, 
	source_id VARCHAR(36) NOT NULL, 
	destination_type VARCHAR(36) NOT NULL, 
	destination_id VARCHAR(36) NOT NULL, step BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT inputs_pk PRIMARY KEY (source_type, source_id, destination_type, destination_id)
);
INSERT INTO "inputs" VALUES('7abd73a684514eae83bef31e322826b1','DATASET','aa8a23a3de6a49898dc8483c0982cca6','RUN','829da4fb6865411aa9fc4ad69f0704f9',0);
INSERT INTO "inputs" VALUES('648fd10dc8a847e5a373304d242b6566','RUN_INPUT','ad98bcff7aad43279d4509922d1e4fe0','MODEL_INPUT','m-a8297bbd2ced491b94a5d2cb532bdb95',0);
CREATE TABLE issues (
	issue_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(250) NOT NULL, 
	description TEXT NOT NULL, 
	status VARCHAR(50) NOT NULL, 
	severity VARCHAR(50), 
	root_causes TEXT, 
	source_run_id VARCHAR(32), 
	categories TEXT, 
	created_timestamp BIGINT NOT NULL, 
	last_updated_timestamp BIGINT NOT NULL, 
	created_by VARCHAR(255), 
	CONSTRAINT issues_pk PRIMARY KEY (issue_id), 
	CONSTRAINT fk_issues_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE, 
	CONSTRAINT fk_issues_source_run_id FOREIGN KEY(source_run_id) REFERENCES runs (run_uuid) ON DELETE SET NULL
);
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
	workspace VARCHAR(63) DEFAULT 'default' NOT NULL, status_details JSON, 
	CONSTRAINT jobs_pk PRIMARY KEY (id)
);
CREATE TABLE label_schemas (
	schema_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(250) NOT NULL, 
	type VARCHAR(16) NOT NULL, 
	instruction TEXT, 
	enable_comment BOOLEAN DEFAULT '0' NOT NULL, 
	input_type VARCHAR(32) NOT NULL, 
	input_config TEXT NOT NULL, 
	created_by VARCHAR(255), 
	created_time BIGINT NOT NULL, 
	last_update_time BIGINT NOT NULL, 
	is_default BOOLEAN DEFAULT 0 NOT NULL, 
	CONSTRAINT label_schemas_pk PRIMARY KEY (schema_id), 
	CONSTRAINT fk_label_schemas_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE, 
	CONSTRAINT uq_label_schemas_exp_name UNIQUE (experiment_id, name)
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
INSERT INTO "latest_metrics" VALUES('loss',0.1,1700000000009,9,0,'829da4fb6865411aa9fc4ad69f0704f9');
INSERT INTO "latest_metrics" VALUES('odd',4.94065645841247e-324,1700000000000,4,0,'829da4fb6865411aa9fc4ad69f0704f9');
INSERT INTO "latest_metrics" VALUES('loss',0.1,1700000000009,9,0,'47f3e23fe4264e1f8be78e5a96c69449');
INSERT INTO "latest_metrics" VALUES('odd',4.94065645841247e-324,1700000000000,4,0,'47f3e23fe4264e1f8be78e5a96c69449');
INSERT INTO "latest_metrics" VALUES('loss',0.1,1700000000009,9,0,'cf8fdf2022574039905a84803690c7b4');
INSERT INTO "latest_metrics" VALUES('odd',4.94065645841247e-324,1700000000000,4,0,'cf8fdf2022574039905a84803690c7b4');
INSERT INTO "latest_metrics" VALUES('loss',0.1,1700000000009,9,0,'6a9d256fad50479aa4bf47180ea52551');
INSERT INTO "latest_metrics" VALUES('odd',4.94065645841247e-324,1700000000000,4,0,'6a9d256fad50479aa4bf47180ea52551');
INSERT INTO "latest_metrics" VALUES('loss',0.1,1700000000009,9,0,'7f2c8f41d5f340c0b9e7ec3f0082ea4b');
INSERT INTO "latest_metrics" VALUES('odd',4.94065645841247e-324,1700000000000,4,0,'7f2c8f41d5f340c0b9e7ec3f0082ea4b');
INSERT INTO "latest_metrics" VALUES('loss',0.1,1700000000009,9,0,'41bfdd6b7de449d9afaf65ced827c606');
INSERT INTO "latest_metrics" VALUES('odd',4.94065645841247e-324,1700000000000,4,0,'41bfdd6b7de449d9afaf65ced827c606');
INSERT INTO "latest_metrics" VALUES('score',0.5,1796032360559,0,0,'ad98bcff7aad43279d4509922d1e4fe0');
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
INSERT INTO "logged_model_metrics" VALUES('m-a8297bbd2ced491b94a5d2cb532bdb95','score',1796032360559,0,0.5,0,'ad98bcff7aad43279d4509922d1e4fe0',NULL,NULL,NULL);
CREATE TABLE logged_model_params (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	param_key VARCHAR(255) NOT NULL, 
	param_value TEXT NOT NULL, 
	CONSTRAINT logged_model_params_pk PRIMARY KEY (model_id, param_key), 
	CONSTRAINT fk_logged_model_params_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CONSTRAINT fk_logged_model_params_model_id FOREIGN KEY(model_id) REFERENCES logged_models (model_id) ON DELETE CASCADE
);
INSERT INTO "logged_model_params" VALUES('m-a8297bbd2ced491b94a5d2cb532bdb95',0,'p','1');
CREATE TABLE logged_model_tags (
	model_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	tag_key VARCHAR(255) NOT NULL, 
	tag_value TEXT NOT NULL, 
	CONSTRAINT logged_model_tags_pk PRIMARY KEY (model_id, tag_key), 
	CONSTRAINT fk_logged_model_tags_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CONSTRAINT fk_logged_model_tags_model_id FOREIGN KEY(model_id) REFERENCES logged_models (model_id) ON DELETE CASCADE
);
INSERT INTO "logged_model_tags" VALUES('m-a8297bbd2ced491b94a5d2cb532bdb95',0,'mlflow.user','me');
INSERT INTO "logged_model_tags" VALUES('m-a8297bbd2ced491b94a5d2cb532bdb95',0,'mlflow.source.name','-');
INSERT INTO "logged_model_tags" VALUES('m-a8297bbd2ced491b94a5d2cb532bdb95',0,'mlflow.source.type','LOCAL');
INSERT INTO "logged_model_tags" VALUES('m-a8297bbd2ced491b94a5d2cb532bdb95',0,'t','x');
INSERT INTO "logged_model_tags" VALUES('m-a8297bbd2ced491b94a5d2cb532bdb95',0,'mlflow.model.isExternal','true');
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
INSERT INTO "logged_models" VALUES('m-a8297bbd2ced491b94a5d2cb532bdb95',0,'external','/tmp/tmpb1q82k7k/mlruns/0/models/m-a8297bbd2ced491b94a5d2cb532bdb95/artifacts',1796032360537,1796032360551,2,'active',NULL,'ad98bcff7aad43279d4509922d1e4fe0',NULL);
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
INSERT INTO "metrics" VALUES('loss',1.0,1700000000000,'829da4fb6865411aa9fc4ad69f0704f9',0,0);
INSERT INTO "metrics" VALUES('loss',0.5,1700000000001,'829da4fb6865411aa9fc4ad69f0704f9',1,0);
INSERT INTO "metrics" VALUES('loss',3.33333333333333314829e-01,1700000000002,'829da4fb6865411aa9fc4ad69f0704f9',2,0);
INSERT INTO "metrics" VALUES('loss',0.25,1700000000003,'829da4fb6865411aa9fc4ad69f0704f9',3,0);
INSERT INTO "metrics" VALUES('loss',0.2,1700000000004,'829da4fb6865411aa9fc4ad69f0704f9',4,0);
INSERT INTO "metrics" VALUES('loss',1.66666666666666657414e-01,1700000000005,'829da4fb6865411aa9fc4ad69f0704f9',5,0);
INSERT INTO "metrics" VALUES('loss',1.42857142857142849212e-01,1700000000006,'829da4fb6865411aa9fc4ad69f0704f9',6,0);
INSERT INTO "metrics" VALUES('loss',0.125,1700000000007,'829da4fb6865411aa9fc4ad69f0704f9',7,0);
INSERT INTO "metrics" VALUES('loss',1.11111111111111104943e-01,1700000000008,'829da4fb6865411aa9fc4ad69f0704f9',8,0);
INSERT INTO "metrics" VALUES('loss',0.1,1700000000009,'829da4fb6865411aa9fc4ad69f0704f9',9,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'829da4fb6865411aa9fc4ad69f0704f9',0,1);
INSERT INTO "metrics" VALUES('odd',1.79769313486231562234e+308,1700000000000,'829da4fb6865411aa9fc4ad69f0704f9',1,0);
INSERT INTO "metrics" VALUES('odd',-1.79769313486231562234e+308,1700000000000,'829da4fb6865411aa9fc4ad69f0704f9',2,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'829da4fb6865411aa9fc4ad69f0704f9',3,0);
INSERT INTO "metrics" VALUES('odd',4.94065645841247e-324,1700000000000,'829da4fb6865411aa9fc4ad69f0704f9',4,0);
INSERT INTO "metrics" VALUES('loss',1.0,1700000000000,'47f3e23fe4264e1f8be78e5a96c69449',0,0);
INSERT INTO "metrics" VALUES('loss',0.5,1700000000001,'47f3e23fe4264e1f8be78e5a96c69449',1,0);
INSERT INTO "metrics" VALUES('loss',3.33333333333333314829e-01,1700000000002,'47f3e23fe4264e1f8be78e5a96c69449',2,0);
INSERT INTO "metrics" VALUES('loss',0.25,1700000000003,'47f3e23fe4264e1f8be78e5a96c69449',3,0);
INSERT INTO "metrics" VALUES('loss',0.2,1700000000004,'47f3e23fe4264e1f8be78e5a96c69449',4,0);
INSERT INTO "metrics" VALUES('loss',1.66666666666666657414e-01,1700000000005,'47f3e23fe4264e1f8be78e5a96c69449',5,0);
INSERT INTO "metrics" VALUES('loss',1.42857142857142849212e-01,1700000000006,'47f3e23fe4264e1f8be78e5a96c69449',6,0);
INSERT INTO "metrics" VALUES('loss',0.125,1700000000007,'47f3e23fe4264e1f8be78e5a96c69449',7,0);
INSERT INTO "metrics" VALUES('loss',1.11111111111111104943e-01,1700000000008,'47f3e23fe4264e1f8be78e5a96c69449',8,0);
INSERT INTO "metrics" VALUES('loss',0.1,1700000000009,'47f3e23fe4264e1f8be78e5a96c69449',9,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'47f3e23fe4264e1f8be78e5a96c69449',0,1);
INSERT INTO "metrics" VALUES('odd',1.79769313486231562234e+308,1700000000000,'47f3e23fe4264e1f8be78e5a96c69449',1,0);
INSERT INTO "metrics" VALUES('odd',-1.79769313486231562234e+308,1700000000000,'47f3e23fe4264e1f8be78e5a96c69449',2,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'47f3e23fe4264e1f8be78e5a96c69449',3,0);
INSERT INTO "metrics" VALUES('odd',4.94065645841247e-324,1700000000000,'47f3e23fe4264e1f8be78e5a96c69449',4,0);
INSERT INTO "metrics" VALUES('loss',1.0,1700000000000,'cf8fdf2022574039905a84803690c7b4',0,0);
INSERT INTO "metrics" VALUES('loss',0.5,1700000000001,'cf8fdf2022574039905a84803690c7b4',1,0);
INSERT INTO "metrics" VALUES('loss',3.33333333333333314829e-01,1700000000002,'cf8fdf2022574039905a84803690c7b4',2,0);
INSERT INTO "metrics" VALUES('loss',0.25,1700000000003,'cf8fdf2022574039905a84803690c7b4',3,0);
INSERT INTO "metrics" VALUES('loss',0.2,1700000000004,'cf8fdf2022574039905a84803690c7b4',4,0);
INSERT INTO "metrics" VALUES('loss',1.66666666666666657414e-01,1700000000005,'cf8fdf2022574039905a84803690c7b4',5,0);
INSERT INTO "metrics" VALUES('loss',1.42857142857142849212e-01,1700000000006,'cf8fdf2022574039905a84803690c7b4',6,0);
INSERT INTO "metrics" VALUES('loss',0.125,1700000000007,'cf8fdf2022574039905a84803690c7b4',7,0);
INSERT INTO "metrics" VALUES('loss',1.11111111111111104943e-01,1700000000008,'cf8fdf2022574039905a84803690c7b4',8,0);
INSERT INTO "metrics" VALUES('loss',0.1,1700000000009,'cf8fdf2022574039905a84803690c7b4',9,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'cf8fdf2022574039905a84803690c7b4',0,1);
INSERT INTO "metrics" VALUES('odd',1.79769313486231562234e+308,1700000000000,'cf8fdf2022574039905a84803690c7b4',1,0);
INSERT INTO "metrics" VALUES('odd',-1.79769313486231562234e+308,1700000000000,'cf8fdf2022574039905a84803690c7b4',2,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'cf8fdf2022574039905a84803690c7b4',3,0);
INSERT INTO "metrics" VALUES('odd',4.94065645841247e-324,1700000000000,'cf8fdf2022574039905a84803690c7b4',4,0);
INSERT INTO "metrics" VALUES('loss',1.0,1700000000000,'6a9d256fad50479aa4bf47180ea52551',0,0);
INSERT INTO "metrics" VALUES('loss',0.5,1700000000001,'6a9d256fad50479aa4bf47180ea52551',1,0);
INSERT INTO "metrics" VALUES('loss',3.33333333333333314829e-01,1700000000002,'6a9d256fad50479aa4bf47180ea52551',2,0);
INSERT INTO "metrics" VALUES('loss',0.25,1700000000003,'6a9d256fad50479aa4bf47180ea52551',3,0);
INSERT INTO "metrics" VALUES('loss',0.2,1700000000004,'6a9d256fad50479aa4bf47180ea52551',4,0);
INSERT INTO "metrics" VALUES('loss',1.66666666666666657414e-01,1700000000005,'6a9d256fad50479aa4bf47180ea52551',5,0);
INSERT INTO "metrics" VALUES('loss',1.42857142857142849212e-01,1700000000006,'6a9d256fad50479aa4bf47180ea52551',6,0);
INSERT INTO "metrics" VALUES('loss',0.125,1700000000007,'6a9d256fad50479aa4bf47180ea52551',7,0);
INSERT INTO "metrics" VALUES('loss',1.11111111111111104943e-01,1700000000008,'6a9d256fad50479aa4bf47180ea52551',8,0);
INSERT INTO "metrics" VALUES('loss',0.1,1700000000009,'6a9d256fad50479aa4bf47180ea52551',9,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'6a9d256fad50479aa4bf47180ea52551',0,1);
INSERT INTO "metrics" VALUES('odd',1.79769313486231562234e+308,1700000000000,'6a9d256fad50479aa4bf47180ea52551',1,0);
INSERT INTO "metrics" VALUES('odd',-1.79769313486231562234e+308,1700000000000,'6a9d256fad50479aa4bf47180ea52551',2,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'6a9d256fad50479aa4bf47180ea52551',3,0);
INSERT INTO "metrics" VALUES('odd',4.94065645841247e-324,1700000000000,'6a9d256fad50479aa4bf47180ea52551',4,0);
INSERT INTO "metrics" VALUES('loss',1.0,1700000000000,'7f2c8f41d5f340c0b9e7ec3f0082ea4b',0,0);
INSERT INTO "metrics" VALUES('loss',0.5,1700000000001,'7f2c8f41d5f340c0b9e7ec3f0082ea4b',1,0);
INSERT INTO "metrics" VALUES('loss',3.33333333333333314829e-01,1700000000002,'7f2c8f41d5f340c0b9e7ec3f0082ea4b',2,0);
INSERT INTO "metrics" VALUES('loss',0.25,1700000000003,'7f2c8f41d5f340c0b9e7ec3f0082ea4b',3,0);
INSERT INTO "metrics" VALUES('loss',0.2,1700000000004,'7f2c8f41d5f340c0b9e7ec3f0082ea4b',4,0);
INSERT INTO "metrics" VALUES('loss',1.66666666666666657414e-01,1700000000005,'7f2c8f41d5f340c0b9e7ec3f0082ea4b',5,0);
INSERT INTO "metrics" VALUES('loss',1.42857142857142849212e-01,1700000000006,'7f2c8f41d5f340c0b9e7ec3f0082ea4b',6,0);
INSERT INTO "metrics" VALUES('loss',0.125,1700000000007,'7f2c8f41d5f340c0b9e7ec3f0082ea4b',7,0);
INSERT INTO "metrics" VALUES('loss',1.11111111111111104943e-01,1700000000008,'7f2c8f41d5f340c0b9e7ec3f0082ea4b',8,0);
INSERT INTO "metrics" VALUES('loss',0.1,1700000000009,'7f2c8f41d5f340c0b9e7ec3f0082ea4b',9,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'7f2c8f41d5f340c0b9e7ec3f0082ea4b',0,1);
INSERT INTO "metrics" VALUES('odd',1.79769313486231562234e+308,1700000000000,'7f2c8f41d5f340c0b9e7ec3f0082ea4b',1,0);
INSERT INTO "metrics" VALUES('odd',-1.79769313486231562234e+308,1700000000000,'7f2c8f41d5f340c0b9e7ec3f0082ea4b',2,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'7f2c8f41d5f340c0b9e7ec3f0082ea4b',3,0);
INSERT INTO "metrics" VALUES('odd',4.94065645841247e-324,1700000000000,'7f2c8f41d5f340c0b9e7ec3f0082ea4b',4,0);
INSERT INTO "metrics" VALUES('loss',1.0,1700000000000,'41bfdd6b7de449d9afaf65ced827c606',0,0);
INSERT INTO "metrics" VALUES('loss',0.5,1700000000001,'41bfdd6b7de449d9afaf65ced827c606',1,0);
INSERT INTO "metrics" VALUES('loss',3.33333333333333314829e-01,1700000000002,'41bfdd6b7de449d9afaf65ced827c606',2,0);
INSERT INTO "metrics" VALUES('loss',0.25,1700000000003,'41bfdd6b7de449d9afaf65ced827c606',3,0);
INSERT INTO "metrics" VALUES('loss',0.2,1700000000004,'41bfdd6b7de449d9afaf65ced827c606',4,0);
INSERT INTO "metrics" VALUES('loss',1.66666666666666657414e-01,1700000000005,'41bfdd6b7de449d9afaf65ced827c606',5,0);
INSERT INTO "metrics" VALUES('loss',1.42857142857142849212e-01,1700000000006,'41bfdd6b7de449d9afaf65ced827c606',6,0);
INSERT INTO "metrics" VALUES('loss',0.125,1700000000007,'41bfdd6b7de449d9afaf65ced827c606',7,0);
INSERT INTO "metrics" VALUES('loss',1.11111111111111104943e-01,1700000000008,'41bfdd6b7de449d9afaf65ced827c606',8,0);
INSERT INTO "metrics" VALUES('loss',0.1,1700000000009,'41bfdd6b7de449d9afaf65ced827c606',9,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'41bfdd6b7de449d9afaf65ced827c606',0,1);
INSERT INTO "metrics" VALUES('odd',1.79769313486231562234e+308,1700000000000,'41bfdd6b7de449d9afaf65ced827c606',1,0);
INSERT INTO "metrics" VALUES('odd',-1.79769313486231562234e+308,1700000000000,'41bfdd6b7de449d9afaf65ced827c606',2,0);
INSERT INTO "metrics" VALUES('odd',0.0,1700000000000,'41bfdd6b7de449d9afaf65ced827c606',3,0);
INSERT INTO "metrics" VALUES('odd',4.94065645841247e-324,1700000000000,'41bfdd6b7de449d9afaf65ced827c606',4,0);
INSERT INTO "metrics" VALUES('score',0.5,1796032360559,'ad98bcff7aad43279d4509922d1e4fe0',0,0);
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
INSERT INTO "model_versions" VALUES('iris',1,1796032360302,1796032360302,NULL,NULL,'None','mlflow-artifacts:/2/829da4fb6865411aa9fc4ad69f0704f9/artifacts/model','829da4fb6865411aa9fc4ad69f0704f9','READY',NULL,NULL,'mlflow-artifacts:/2/829da4fb6865411aa9fc4ad69f0704f9/artifacts/model','default');
INSERT INTO "model_versions" VALUES('iris',2,1796032360308,1796032360308,NULL,NULL,'None','mlflow-artifacts:/2/47f3e23fe4264e1f8be78e5a96c69449/artifacts/model','47f3e23fe4264e1f8be78e5a96c69449','READY',NULL,NULL,'mlflow-artifacts:/2/47f3e23fe4264e1f8be78e5a96c69449/artifacts/model','default');
INSERT INTO "model_versions" VALUES('iris',3,1796032360312,1796032360312,NULL,NULL,'None','mlflow-artifacts:/2/cf8fdf2022574039905a84803690c7b4/artifacts/model','cf8fdf2022574039905a84803690c7b4','READY',NULL,NULL,'mlflow-artifacts:/2/cf8fdf2022574039905a84803690c7b4/artifacts/model','default');
INSERT INTO "model_versions" VALUES('wine',1,1796032360337,1796032360363,NULL,NULL,'Deleted_Internal','REDACTED-SOURCE-PATH','REDACTED-RUN-ID','READY',NULL,'REDACTED-RUN-LINK','mlflow-artifacts:/2/829da4fb6865411aa9fc4ad69f0704f9/artifacts/model','default');
INSERT INTO "model_versions" VALUES('wine',2,1796032360342,1796032360342,NULL,NULL,'None','mlflow-artifacts:/2/47f3e23fe4264e1f8be78e5a96c69449/artifacts/model','47f3e23fe4264e1f8be78e5a96c69449','READY',NULL,NULL,'mlflow-artifacts:/2/47f3e23fe4264e1f8be78e5a96c69449/artifacts/model','default');
INSERT INTO "model_versions" VALUES('wine',3,1796032360345,1796032360345,NULL,NULL,'None','mlflow-artifacts:/2/cf8fdf2022574039905a84803690c7b4/artifacts/model','cf8fdf2022574039905a84803690c7b4','READY',NULL,NULL,'mlflow-artifacts:/2/cf8fdf2022574039905a84803690c7b4/artifacts/model','default');
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
INSERT INTO "params" VALUES('depth','0','829da4fb6865411aa9fc4ad69f0704f9');
INSERT INTO "params" VALUES('text','long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long ','829da4fb6865411aa9fc4ad69f0704f9');
INSERT INTO "params" VALUES('depth','1','47f3e23fe4264e1f8be78e5a96c69449');
INSERT INTO "params" VALUES('text','long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long ','47f3e23fe4264e1f8be78e5a96c69449');
INSERT INTO "params" VALUES('depth','2','cf8fdf2022574039905a84803690c7b4');
INSERT INTO "params" VALUES('text','long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long ','cf8fdf2022574039905a84803690c7b4');
INSERT INTO "params" VALUES('depth','3','6a9d256fad50479aa4bf47180ea52551');
INSERT INTO "params" VALUES('text','long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long ','6a9d256fad50479aa4bf47180ea52551');
INSERT INTO "params" VALUES('depth','4','7f2c8f41d5f340c0b9e7ec3f0082ea4b');
INSERT INTO "params" VALUES('text','long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long ','7f2c8f41d5f340c0b9e7ec3f0082ea4b');
INSERT INTO "params" VALUES('depth','5','41bfdd6b7de449d9afaf65ced827c606');
INSERT INTO "params" VALUES('text','long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long ','41bfdd6b7de449d9afaf65ced827c606');
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
INSERT INTO "registered_models" VALUES('iris',1796032360295,1796032360312,'The model iris','default');
INSERT INTO "registered_models" VALUES('wine',1796032360335,1796032360363,'The model wine','default');
CREATE TABLE review_queue_items (
	queue_id VARCHAR(36) NOT NULL, 
	item_type VARCHAR(16) NOT NULL, 
	item_id VARCHAR(50) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	completed_by VARCHAR(250), 
	completed_time_ms BIGINT, 
	creation_time_ms BIGINT NOT NULL, 
	last_update_time_ms BIGINT NOT NULL, 
	CONSTRAINT review_queue_items_pk PRIMARY KEY (queue_id, item_id), 
	CONSTRAINT fk_review_queue_items_queue_id FOREIGN KEY(queue_id) REFERENCES review_queues (queue_id) ON DELETE CASCADE
);
CREATE TABLE review_queue_label_schemas (
	queue_id VARCHAR(36) NOT NULL, 
	schema_id VARCHAR(36) NOT NULL, 
	CONSTRAINT review_queue_label_schemas_pk PRIMARY KEY (queue_id, schema_id), 
	CONSTRAINT fk_review_queue_label_schemas_queue_id FOREIGN KEY(queue_id) REFERENCES review_queues (queue_id) ON DELETE CASCADE
);
CREATE TABLE review_queue_users (
	queue_id VARCHAR(36) NOT NULL, 
	user_id VARCHAR(250) NOT NULL, 
	CONSTRAINT review_queue_users_pk PRIMARY KEY (queue_id, user_id), 
	CONSTRAINT fk_review_queue_users_queue_id FOREIGN KEY(queue_id) REFERENCES review_queues (queue_id) ON DELETE CASCADE
);
CREATE TABLE review_queues (
	queue_id VARCHAR(36) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	name VARCHAR(250) NOT NULL, 
	queue_type VARCHAR(16) NOT NULL, 
	created_by VARCHAR(255), 
	creation_time_ms BIGINT NOT NULL, 
	last_update_time_ms BIGINT NOT NULL, 
	name_key VARCHAR(250) NOT NULL, 
	CONSTRAINT review_queues_pk PRIMARY KEY (queue_id), 
	CONSTRAINT fk_review_queues_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE, 
	CONSTRAINT uq_review_queues_experiment_name_key UNIQUE (experiment_id, name_key)
);
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
	CONSTRAINT source_type CHECK (source_type IN ('NOTEBOOK', 'JOB', 'LOCAL', 'UNKNOWN', 'PROJECT')), 
	CONSTRAINT runs_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')), 
	FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id), 
	CHECK (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING', 'KILLED'))
);
INSERT INTO "runs" VALUES('829da4fb6865411aa9fc4ad69f0704f9','run 0','UNKNOWN','','','unknown','FINISHED',1796032360141,1796032360523,'','active','mlflow-artifacts:/2/829da4fb6865411aa9fc4ad69f0704f9/artifacts',2,NULL);
INSERT INTO "runs" VALUES('47f3e23fe4264e1f8be78e5a96c69449','run 1','UNKNOWN','','','unknown','FAILED',1796032360175,1796032360191,'','active','mlflow-artifacts:/2/47f3e23fe4264e1f8be78e5a96c69449/artifacts',2,NULL);
INSERT INTO "runs" VALUES('cf8fdf2022574039905a84803690c7b4','run 2','UNKNOWN','','','unknown','KILLED',1796032360194,1796032360211,'','active','mlflow-artifacts:/2/cf8fdf2022574039905a84803690c7b4/artifacts',2,NULL);
INSERT INTO "runs" VALUES('6a9d256fad50479aa4bf47180ea52551','run 3','UNKNOWN','','','unknown','FINISHED',1796032360217,1796032360234,'','deleted','mlflow-artifacts:/2/6a9d256fad50479aa4bf47180ea52551/artifacts',2,1796032360274);
INSERT INTO "runs" VALUES('7f2c8f41d5f340c0b9e7ec3f0082ea4b','run 4','UNKNOWN','','','unknown','FAILED',1796032360237,1796032360253,'','active','/tmp/tmpb1q82k7k/mlruns/0/7f2c8f41d5f340c0b9e7ec3f0082ea4b/artifacts',0,NULL);
INSERT INTO "runs" VALUES('41bfdd6b7de449d9afaf65ced827c606','run 5','UNKNOWN','','','unknown','KILLED',1796032360255,1796032360269,'','active','/tmp/tmpb1q82k7k/mlruns/0/41bfdd6b7de449d9afaf65ced827c606/artifacts',0,NULL);
INSERT INTO "runs" VALUES('ad98bcff7aad43279d4509922d1e4fe0','placid-sponge-875','UNKNOWN','','','me','FINISHED',1796032360528,1796032360566,'','active','/tmp/tmpb1q82k7k/mlruns/0/ad98bcff7aad43279d4509922d1e4fe0/artifacts',0,NULL);
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
INSERT INTO "spans" VALUES('tr-3932fc92b935bfbc7c72d8e946b421ec',0,'1ee1ae775edd8bf1',NULL,'span 0','UNKNOWN','OK',1796032360612167458,1796032360856202822,'{"trace_id": "OTL8krk1v7x8ctjpRrQh7A==", "span_id": "HuGud17di/E=", "parent_span_id": null, "name": "span 0", "start_time_unix_nano": 1796032360612167458, "end_time_unix_nano": 1796032360856202822, "events": [], "status": {"code": "STATUS_CODE_OK", "message": ""}, "attributes": {"mlflow.traceRequestId": "\"tr-3932fc92b935bfbc7c72d8e946b421ec\"", "mlflow.spanType": "\"UNKNOWN\"", "mlflow.spanInputs": "{\"question\": 0}", "mlflow.spanOutputs": "{\"answer\": [0, \"\u00fc\"]}", "mlflow.spanLogLevel": "10"}, "links": []}','null');
INSERT INTO "spans" VALUES('tr-a12e968626ab6a1f3c70a88d667ed427',0,'6c9b31c257d4315e',NULL,'span 1','UNKNOWN','OK',1796032360890244131,1796032360891049634,'{"trace_id": "oS6Whiarah88cKiNZn7UJw==", "span_id": "bJsxwlfUMV4=", "parent_span_id": null, "name": "span 1", "start_time_unix_nano": 1796032360890244131, "end_time_unix_nano": 1796032360891049634, "events": [], "status": {"code": "STATUS_CODE_OK", "message": ""}, "attributes": {"mlflow.traceRequestId": "\"tr-a12e968626ab6a1f3c70a88d667ed427\"", "mlflow.spanType": "\"UNKNOWN\"", "mlflow.spanInputs": "{\"question\": 1}", "mlflow.spanOutputs": "{\"answer\": [1, \"\u00fc\"]}", "mlflow.spanLogLevel": "10"}, "links": []}','null');
CREATE TABLE "tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000), 
	run_uuid VARCHAR(32) NOT NULL, 
	CONSTRAINT tag_pk PRIMARY KEY ("key", run_uuid), 
	FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid)
);
INSERT INTO "tags" VALUES('mlflow.runName','run 0','829da4fb6865411aa9fc4ad69f0704f9');
INSERT INTO "tags" VALUES('note','née
	\ 0','829da4fb6865411aa9fc4ad69f0704f9');
INSERT INTO "tags" VALUES('mlflow.runName','run 1','47f3e23fe4264e1f8be78e5a96c69449');
INSERT INTO "tags" VALUES('note','née
	\ 1','47f3e23fe4264e1f8be78e5a96c69449');
INSERT INTO "tags" VALUES('mlflow.runName','run 2','cf8fdf2022574039905a84803690c7b4');
INSERT INTO "tags" VALUES('note','née
	\ 2','cf8fdf2022574039905a84803690c7b4');
INSERT INTO "tags" VALUES('mlflow.runName','run 3','6a9d256fad50479aa4bf47180ea52551');
INSERT INTO "tags" VALUES('note','née
	\ 3','6a9d256fad50479aa4bf47180ea52551');
INSERT INTO "tags" VALUES('mlflow.runName','run 4','7f2c8f41d5f340c0b9e7ec3f0082ea4b');
INSERT INTO "tags" VALUES('note','née
	\ 4','7f2c8f41d5f340c0b9e7ec3f0082ea4b');
INSERT INTO "tags" VALUES('mlflow.runName','run 5','41bfdd6b7de449d9afaf65ced827c606');
INSERT INTO "tags" VALUES('note','née
	\ 5','41bfdd6b7de449d9afaf65ced827c606');
INSERT INTO "tags" VALUES('mlflow.user','me','ad98bcff7aad43279d4509922d1e4fe0');
INSERT INTO "tags" VALUES('mlflow.source.name','-','ad98bcff7aad43279d4509922d1e4fe0');
INSERT INTO "tags" VALUES('mlflow.source.type','LOCAL','ad98bcff7aad43279d4509922d1e4fe0');
INSERT INTO "tags" VALUES('mlflow.runName','placid-sponge-875','ad98bcff7aad43279d4509922d1e4fe0');
CREATE TABLE trace_info (
	request_id VARCHAR(50) NOT NULL, 
	experiment_id INTEGER NOT NULL, 
	timestamp_ms BIGINT NOT NULL, 
	execution_time_ms BIGINT, 
	status VARCHAR(50) NOT NULL, client_request_id VARCHAR(50), request_preview VARCHAR(1000), response_preview VARCHAR(1000), db_payload_generation INTEGER DEFAULT '0' NOT NULL, 
	CONSTRAINT trace_info_pk PRIMARY KEY (request_id), 
	CONSTRAINT fk_trace_info_experiment_id FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id)
);
INSERT INTO "trace_info" VALUES('tr-3932fc92b935bfbc7c72d8e946b421ec',0,1796032360612,244,'OK',NULL,'{"question": 0}','{"answer": [0, "ü"]}',2);
INSERT INTO "trace_info" VALUES('tr-a12e968626ab6a1f3c70a88d667ed427',0,1796032360890,0,'OK',NULL,'{"question": 1}','{"answer": [1, "ü"]}',2);
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
INSERT INTO "trace_request_metadata" VALUES('mlflow.user','me','tr-3932fc92b935bfbc7c72d8e946b421ec');
INSERT INTO "trace_request_metadata" VALUES('mlflow.source.name','-','tr-3932fc92b935bfbc7c72d8e946b421ec');
INSERT INTO "trace_request_metadata" VALUES('mlflow.source.type','LOCAL','tr-3932fc92b935bfbc7c72d8e946b421ec');
INSERT INTO "trace_request_metadata" VALUES('mlflow.source.git.commit','','tr-3932fc92b935bfbc7c72d8e946b421ec');
INSERT INTO "trace_request_metadata" VALUES('mlflow.source.git.repoURL','','tr-3932fc92b935bfbc7c72d8e946b421ec');
INSERT INTO "trace_request_metadata" VALUES('mlflow.source.git.branch','','tr-3932fc92b935bfbc7c72d8e946b421ec');
INSERT INTO "trace_request_metadata" VALUES('mlflow.trace_schema.version','3','tr-3932fc92b935bfbc7c72d8e946b421ec');
INSERT INTO "trace_request_metadata" VALUES('mlflow.traceInputs','{"question": 0}','tr-3932fc92b935bfbc7c72d8e946b421ec');
INSERT INTO "trace_request_metadata" VALUES('mlflow.traceOutputs','{"answer": [0, "ü"]}','tr-3932fc92b935bfbc7c72d8e946b421ec');
INSERT INTO "trace_request_metadata" VALUES('mlflow.trace.sizeStats','{"total_size_bytes": 1252, "num_spans": 1, "max": 521, "p25": 521, "p50": 521, "p75": 521}','tr-3932fc92b935bfbc7c72d8e946b421ec');
INSERT INTO "trace_request_metadata" VALUES('mlflow.trace.sizeBytes','1252','tr-3932fc92b935bfbc7c72d8e946b421ec');
INSERT INTO "trace_request_metadata" VALUES('mlflow.trace.infoFinalized','true','tr-3932fc92b935bfbc7c72d8e946b421ec');
INSERT INTO "trace_request_metadata" VALUES('mlflow.user','me','tr-a12e968626ab6a1f3c70a88d667ed427');
INSERT INTO "trace_request_metadata" VALUES('mlflow.source.name','-','tr-a12e968626ab6a1f3c70a88d667ed427');
INSERT INTO "trace_request_metadata" VALUES('mlflow.source.type','LOCAL','tr-a12e968626ab6a1f3c70a88d667ed427');
INSERT INTO "trace_request_metadata" VALUES('mlflow.source.git.commit','','tr-a12e968626ab6a1f3c70a88d667ed427');
INSERT INTO "trace_request_metadata" VALUES('mlflow.source.git.repoURL','','tr-a12e968626ab6a1f3c70a88d667ed427');
INSERT INTO "trace_request_metadata" VALUES('mlflow.source.git.branch','','tr-a12e968626ab6a1f3c70a88d667ed427');
INSERT INTO "trace_request_metadata" VALUES('mlflow.trace_schema.version','3','tr-a12e968626ab6a1f3c70a88d667ed427');
INSERT INTO "trace_request_metadata" VALUES('mlflow.traceInputs','{"question": 1}','tr-a12e968626ab6a1f3c70a88d667ed427');
INSERT INTO "trace_request_metadata" VALUES('mlflow.traceOutputs','{"answer": [1, "ü"]}','tr-a12e968626ab6a1f3c70a88d667ed427');
INSERT INTO "trace_request_metadata" VALUES('mlflow.trace.sizeStats','{"total_size_bytes": 1250, "num_spans": 1, "max": 521, "p25": 521, "p50": 521, "p75": 521}','tr-a12e968626ab6a1f3c70a88d667ed427');
INSERT INTO "trace_request_metadata" VALUES('mlflow.trace.sizeBytes','1250','tr-a12e968626ab6a1f3c70a88d667ed427');
INSERT INTO "trace_request_metadata" VALUES('mlflow.trace.infoFinalized','true','tr-a12e968626ab6a1f3c70a88d667ed427');
CREATE TABLE "trace_tags" (
	"key" VARCHAR(250) NOT NULL, 
	value VARCHAR(8000), 
	request_id VARCHAR(50) NOT NULL, 
	CONSTRAINT trace_tag_pk PRIMARY KEY ("key", request_id), 
	CONSTRAINT fk_trace_tags_request_id FOREIGN KEY(request_id) REFERENCES trace_info (request_id) ON DELETE CASCADE
);
INSERT INTO "trace_tags" VALUES('mlflow.artifactLocation','/tmp/tmpb1q82k7k/mlruns/0/traces/tr-3932fc92b935bfbc7c72d8e946b421ec/artifacts','tr-3932fc92b935bfbc7c72d8e946b421ec');
INSERT INTO "trace_tags" VALUES('mlflow.trace.spansLocation','TRACKING_STORE','tr-3932fc92b935bfbc7c72d8e946b421ec');
INSERT INTO "trace_tags" VALUES('mlflow.traceName','span 0','tr-3932fc92b935bfbc7c72d8e946b421ec');
INSERT INTO "trace_tags" VALUES('mlflow.artifactLocation','/tmp/tmpb1q82k7k/mlruns/0/traces/tr-a12e968626ab6a1f3c70a88d667ed427/artifacts','tr-a12e968626ab6a1f3c70a88d667ed427');
INSERT INTO "trace_tags" VALUES('mlflow.trace.spansLocation','TRACKING_STORE','tr-a12e968626ab6a1f3c70a88d667ed427');
INSERT INTO "trace_tags" VALUES('mlflow.traceName','span 1','tr-a12e968626ab6a1f3c70a88d667ed427');
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
	default_artifact_root TEXT, trace_archival_location TEXT, trace_archival_retention VARCHAR(32), 
	CONSTRAINT workspaces_pk PRIMARY KEY (name)
);
INSERT INTO "workspaces" VALUES('default','Default workspace for legacy resources',NULL,NULL,NULL);
CREATE INDEX index_metrics_run_uuid ON metrics (run_uuid);
CREATE INDEX index_latest_metrics_run_uuid ON latest_metrics (run_uuid);
CREATE INDEX index_inputs_input_uuid ON inputs (input_uuid);
CREATE INDEX index_inputs_destination_type_destination_id_source_type ON inputs (destination_type, destination_id, source_type);
CREATE INDEX index_params_run_uuid ON params (run_uuid);
CREATE INDEX index_trace_info_experiment_id_timestamp_ms ON trace_info (experiment_id, timestamp_ms);
CREATE INDEX index_trace_tags_request_id ON trace_tags (request_id);
CREATE INDEX index_trace_request_metadata_request_id ON trace_request_metadata (request_id);
CREATE INDEX index_tags_run_uuid ON tags (run_uuid);
CREATE INDEX index_datasets_dataset_uuid ON datasets (dataset_uuid);
CREATE INDEX index_datasets_experiment_id_dataset_source_type ON datasets (experiment_id, dataset_source_type);
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
CREATE INDEX index_evaluation_datasets_created_time ON evaluation_datasets (created_time);
CREATE INDEX index_evaluation_datasets_name ON evaluation_datasets (name);
CREATE INDEX idx_webhooks_name ON webhooks (name);
CREATE INDEX idx_webhooks_status ON webhooks (status);
CREATE TRIGGER prevent_secrets_aad_mutation
BEFORE UPDATE ON secrets
FOR EACH ROW
WHEN OLD.secret_id != NEW.secret_id OR OLD.secret_name != NEW.secret_name
BEGIN
    SELECT RAISE(ABORT, 'secret_id and secret_name are immutable (used as AAD in encryption)');
END;
CREATE INDEX index_model_definitions_provider ON model_definitions (provider);
CREATE INDEX index_model_definitions_secret_id ON model_definitions (secret_id);
CREATE INDEX index_jobs_name_status_creation_time ON jobs (job_name, workspace, status, creation_time);
CREATE INDEX idx_experiments_workspace ON experiments (workspace);
CREATE INDEX idx_registered_models_workspace ON registered_models (workspace);
CREATE INDEX idx_experiments_workspace_creation_time ON experiments (workspace, creation_time);
CREATE INDEX idx_evaluation_datasets_workspace ON evaluation_datasets (workspace);
CREATE INDEX idx_webhooks_workspace ON webhooks (workspace);
CREATE INDEX idx_secrets_workspace ON secrets (workspace);
CREATE INDEX idx_endpoints_workspace ON endpoints (workspace);
CREATE INDEX idx_model_definitions_workspace ON model_definitions (workspace);
CREATE INDEX idx_budget_policies_workspace ON budget_policies (workspace);
CREATE INDEX index_issues_experiment_id ON issues (experiment_id);
CREATE INDEX index_issues_source_run_id ON issues (source_run_id);
CREATE INDEX index_issues_status ON issues (status);
CREATE INDEX index_metrics_run_uuid_key_step ON metrics (run_uuid, "key", step);
CREATE INDEX idx_guardrails_workspace ON guardrails (workspace);
CREATE INDEX idx_guardrails_scorer ON guardrails (scorer_id, scorer_version);
CREATE INDEX idx_guardrail_configs_endpoint_id ON guardrail_configs (endpoint_id);
CREATE INDEX idx_guardrail_configs_guardrail_id ON guardrail_configs (guardrail_id);
CREATE INDEX idx_model_version_tags_workspace_name_version ON model_version_tags (workspace, name, version);
CREATE INDEX idx_registered_model_tags_workspace_name ON registered_model_tags (workspace, name);
CREATE INDEX index_label_schemas_experiment_id ON label_schemas (experiment_id);
CREATE INDEX index_review_queues_experiment_id ON review_queues (experiment_id);
CREATE INDEX index_review_queue_users_user_id ON review_queue_users (user_id);
CREATE INDEX index_review_queue_items_queue_id_status ON review_queue_items (queue_id, status);
CREATE INDEX index_review_queue_items_item_id ON review_queue_items (item_id);
CREATE INDEX index_review_queue_label_schemas_schema_id ON review_queue_label_schemas (schema_id);
COMMIT;
