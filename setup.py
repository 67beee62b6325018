"""Packages and data, which pyproject.toml cannot find by itself; everything else stands there.

The library is lib/dcn, the families lie beside lib/; experiments and sources of operators become data of the package
dcn, where dcn.paths finds them.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages('lib'),
        *find_packages('.', include=['rfcn*', 'faster_rcnn*', 'fpn*', 'deeplab*']),
        'dcn.experiments',
        'dcn.operator_cxx',
    ],
    package_dir={'dcn': 'lib/dcn', 'dcn.experiments': 'experiments', 'dcn.operator_cxx': 'operator_cxx'},
    package_data={
        '': ['*.yaml', '*.json', '*.css', '*.js', '*.html', '*.pyx'],
        'dcn.experiments': ['*/*.py', '*/cfgs/*', '*/shapes/*'],
        'dcn.operator_cxx': ['*.md', *(f'{folder}/*' for folder in ('include', 'cpu', 'mxnet', 'cuda'))],
    },
)
