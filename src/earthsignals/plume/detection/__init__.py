"""From a saliency map to plumes, their masses and their emission rates."""
