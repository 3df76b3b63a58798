"""Curvature: products with Hessians of whole populations, their eigenvalues, traces and densities."""
