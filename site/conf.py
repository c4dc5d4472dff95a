"""Sphinx's settings. build.py writes the folder of pages that they are used on."""

project = "minidiff"
author = "the minidiff course"
language = "en"
extensions = ["myst_nb", "sphinx.ext.mathjax", "sphinx.ext.githubpages"]
exclude_patterns = ["fragments", "files"]
nb_execution_mode = "off"  # pages show what is committed
nb_ipywidgets_js = {}  # they would come from elsewhere
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables that cells show
myst_enable_extensions = ["dollarmath", "amsmath", "attrs_inline", "attrs_block", "deflist", "colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header", "toc.not_included"]  # a docstring may begin at any level

html_theme = "sphinx_book_theme"
html_title = "minidiff: text-to-image diffusion from scratch"
html_theme_options = {
    "logo": {"text": "minidiff"},
    "home_page_in_toc": True,
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "navbar_persistent": [],
    "use_download_button": False,
    "use_fullscreen_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_context = {"default_mode": "auto"}
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["course.css"]
html_js_files = [("course.js", {"defer": "defer"})]
html_copy_source = False  # it holds what --no-solutions leaves out
html_show_sourcelink = False
html_show_copyright = False
html_use_index = False
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"options": {"enableMenu": False}}  # the menu would load more, from elsewhere
