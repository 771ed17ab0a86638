@default name efa
@if card0-is-ena
@refuse the module terraform-aws-eks makes card 0 an EFA, and that of @instance@ carries none; make a launch template (weft manifest launch-template)
@end
# EKS with @nodes@ x @instance@, each with @efas@ EFA interface@efas-s@.
module "eks" {
  source  = "terraform-aws-modules/eks/aws"
  version = "~> 20.0"

  cluster_name = "@name@"
@if kubernetes
  cluster_version = "@kubernetes@"
@end

  # The control plane has to be in two zones; the nodes below must not be.
  vpc_id     = "@vpc@"
  subnet_ids = ["@subnet@", "@subnet2@"]

  # Lets the nodes' security group talk to itself, in and out: EFA needs both rules.
  enable_efa_support = true

  eks_managed_node_groups = {
    efa = {
      ami_type       = "@ami-type@"
      instance_types = ["@instance@"]

      # Puts every EFA interface into the launch template, and makes a placement group.
      enable_efa_support = true

      # One zone only: EFA traffic does not leave it.
      subnet_ids = ["@subnet@"]

      # From 0, so that the group itself can be made while there is no capacity.
      min_size     = 0
      max_size     = @nodes@
      desired_size = @nodes@
    }
  }
}
