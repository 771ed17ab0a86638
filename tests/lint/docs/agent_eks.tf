module "eks" {
  source             = "terraform-aws-modules/eks/aws"
  version            = "~> 20.0"
  cluster_name       = "training"
  enable_efa_support = true
  eks_managed_node_groups = {
    efa = {
      ami_type           = "AL2023_x86_64_NVIDIA"
      instance_types     = ["p5.48xlarge"]
      enable_efa_support = true
      subnet_ids         = [module.vpc.private_subnets[0]] # one zone
    }
  }
}
