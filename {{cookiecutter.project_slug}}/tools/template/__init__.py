"""What connects this project with the template it was made from: ``make template-update``."""
