kubectl get ds -n kube-system aws-efa-k8s-device-plugin-daemonset
kubectl describe node "$1" | grep vpc.amazonaws.com/efa
aws ec2 create-placement-group --group-name training --strategy cluster
