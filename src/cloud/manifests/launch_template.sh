#!/bin/sh
@default name efa
# Make a launch template for @instance@ with @efas@ EFA interface@efas-s@.
set -eu

@if one-interface
# An efa interface is two in one: an ordinary one with an address, and an EFA.
@else
# The first interface is an ordinary one (ENA): it has the address. The others are efa-only: they have none, use no
# addresses of the subnet and leave the cards to EFA. One EFA at most on each card. In EKS, efa-only wants 1.18.5
# or later of the VPC CNI.
@end
# The subnet is left to whoever launches from it: one, because EFA traffic does not leave its zone.
data=$(
	cat <<'EOF'
{
@if ami
  "ImageId": "@ami@",
@end
@if key-name
  "KeyName": "@key-name@",
@end
@if placement-group
  "Placement": { "GroupName": "@placement-group@" },
@end
  "InstanceType": "@instance@",
  "MetadataOptions": { "HttpTokens": "required" },
  "NetworkInterfaces": [
@each interface
    { "NetworkCardIndex": @card@, "DeviceIndex": @device@, "InterfaceType": "@type@", "Groups": ["@security-group@"], "DeleteOnTermination": true }@comma@
@end
  ]
}
EOF
)

aws ec2 create-launch-template \
	--region "@region@" \
	--launch-template-name "@name@" \
	--launch-template-data "$data"
