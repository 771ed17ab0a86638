#!/bin/sh
@default name efa
# Launch @nodes@ x @instance@, each with @efas@ EFA interface@efas-s@, in one subnet: EFA traffic does not leave its zone.
set -eu

@if one-interface
# An efa interface is two in one: an ordinary one with an address, and an EFA.
@else
# The first interface is an ordinary one (ENA): it has the address. The others are efa-only: they have none, use no
# addresses of the subnet and leave the cards to EFA. One EFA at most on each card.
# No public address can be had at launch with several interfaces; use an Elastic IP address.
@end
aws ec2 run-instances \
	--region "@region@" \
	--image-id "@ami@" \
	--instance-type "@instance@" \
	--count "@nodes@" \
@if key-name
	--key-name "@key-name@" \
@end
@if placement-group
	--placement "GroupName=@placement-group@" \
@end
	--metadata-options "HttpTokens=required" \
	--tag-specifications "ResourceType=instance,Tags=[{Key=Name,Value=@name@}]" \
	--network-interfaces \
@each interface
	"NetworkCardIndex=@card@,DeviceIndex=@device@,InterfaceType=@type@,SubnetId=@subnet@,Groups=@security-group@"@continued@
@end
