"""From a trained model to a physically smaller one: plan, surgery, certificate."""
