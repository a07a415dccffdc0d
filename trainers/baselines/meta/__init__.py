"""Meta-learners: LightmanNet and the learners that it is compared with, one way of learning in each file."""
