#!/bin/bash
# As much of the official image as docker/compose.yaml uses: KAFKA_NODE_ID of the environment is node.id of the configuration.
set -eu
configuration=/tmp/server.properties

run() {
	exec java -Xms64m -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData \
		-Dlog4j.configuration=file:/opt/kafka/log4j.properties -cp '/opt/kafka/libs/*' "$@"
}

env | grep '^KAFKA_' | while IFS='=' read -r name value; do
	name=${name#KAFKA_}
	echo "$(tr 'A-Z_' 'a-z.' <<<"$name")=$value"
done >$configuration
(run kafka.tools.StorageTool format --ignore-formatted --cluster-id "$CLUSTER_ID" --config $configuration)
run kafka.Kafka $configuration
