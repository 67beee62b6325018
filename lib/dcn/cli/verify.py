"""``dcn verify``: the certificate of an exported file, made anew."""

import argparse
import os
from typing import Optional, Sequence

from dcn.cli.export import verification_arguments
from dcn.errors import UserError
from dcn.export.runtime import Runtime, certificate_paths
from dcn.files import Inputs
from dcn.paths import find
from dcn.text import Parser


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parser().parse_args(argv)
    for path in certificate_paths(args.file):
        Inputs([args.file, args.cfg, args.params]).output(path, 'the certificate')
    from dcn.export import certificate
    from dcn.export.trained import open_trained, stored_source

    with Runtime(args.file, args.peers, args.threads) as runtime:
        source = stored_source(runtime.about['metadata'])
        if source is None:
            raise UserError(f'{args.file}: expected a file that dcn export wrote, found no record of its origin in it')
        cfg, params = find(args.cfg or source['cfg']), find(args.params or source['params'])
        for key, path in (('--cfg', cfg), ('--params', params)):
            if not os.path.isfile(path):
                raise UserError(f'{path}: {args.file} was made from it, but it is gone; name its new place with {key}')
        trained = open_trained(cfg, params, source['settings'])
        if trained.source['params_sha256'] != source['params_sha256']:
            raise UserError(
                f'{params}: expected the checkpoint with SHA-256 {source["params_sha256"]}, from which {args.file} was '
                f'made, found {trained.source["params_sha256"]}; give that one with --params'
            )
        found = certificate.compare(runtime, trained, params, args.images)
    paths = certificate.write(args.file, found)
    print(certificate.table(found).split('\n\n')[0])
    print(f'certificate: {", ".join(paths)}')
    if not found['equal'] and not args.force:
        raise certificate.differing(args.file, found)


def parser() -> argparse.ArgumentParser:
    result = Parser(
        prog='dcn verify',
        description='Run an exported file and the MXNet engine on the same images, and write the certificate beside '
        'the file again. The file names its experiment file and checkpoint; say where they are if they have moved.',
    )
    result.add_argument('file', metavar='FILE', help='a file that dcn export wrote')
    result.add_argument('--cfg', metavar='YAML', help='experiment file, if it has moved')
    result.add_argument('--params', metavar='FILE', help='checkpoint, if it has moved')
    verification_arguments(result)
    return result
