"""From a trained model to a physically smaller one: rank, plan, cut, certify."""
