#!/bin/sh
@default name efa
# Make a placement group that puts nodes near each other. It is advice, not a condition of EFA; with a capacity
# reservation leave it out: the two together find no capacity (InsufficientInstanceCapacity).
set -eu

aws ec2 create-placement-group \
	--region "@region@" \
	--group-name "@name@" \
	--strategy cluster
