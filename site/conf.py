"""Sphinx's settings. build.py composes the pages, and says where with -c and the source folder."""

project = "minidiff"
author = "the minidiff course"
extensions = ["myst_nb", "sphinx.ext.mathjax", "sphinx.ext.githubpages"]
nb_execution_mode = "off"  # pages show what is committed
nb_ipywidgets_js = {}  # they would come from elsewhere
myst_enable_extensions = ["dollarmath", "amsmath", "attrs_inline", "attrs_block", "deflist"]
myst_heading_anchors = 3

html_theme = "sphinx_book_theme"
html_title = "minidiff"
html_static_path = ["_static"]
html_css_files = ["course.css"]
html_js_files = [("course.js", {"defer": "defer"})]
html_copy_source = False  # it holds what --no-solutions leaves out
html_show_sourcelink = False
html_show_copyright = False
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"options": {"enableMenu": False}}  # the menu would load more, from elsewhere
