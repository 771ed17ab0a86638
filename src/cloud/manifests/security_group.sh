#!/bin/sh
@default name efa
# Make a security group for nodes with EFA, and print its id.
set -eu

group=$(aws ec2 create-security-group \
	--region "@region@" \
	--group-name "@name@" \
	--description "EFA: all traffic within the group" \
	--vpc-id "@vpc@" \
	--query GroupId --output text)

# EFA is neither TCP nor UDP, so only "all protocols" covers it, and only rules that name the group itself: a rule
# for 0.0.0.0/0 does not. Both directions: without the second nothing fails at once, but nothing arrives.
aws ec2 authorize-security-group-ingress \
	--region "@region@" \
	--group-id "$group" \
	--ip-permissions "IpProtocol=-1,UserIdGroupPairs=[{GroupId=$group}]" >&2
aws ec2 authorize-security-group-egress \
	--region "@region@" \
	--group-id "$group" \
	--ip-permissions "IpProtocol=-1,UserIdGroupPairs=[{GroupId=$group}]" >&2
@if ssh

# Not for EFA: to log in.
aws ec2 authorize-security-group-ingress \
	--region "@region@" \
	--group-id "$group" \
	--protocol tcp --port 22 --cidr "@ssh@" >&2
@end

echo "$group"
