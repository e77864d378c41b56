"""The classics, from tiny files in torchvision's layout, and what is said when files are wrong."""

import gzip
import hashlib
import http.server
import pickle
import shutil
import tarfile
import threading
import time

import numpy as np
import pytest
import scipy.io
import torch
from torchvision import datasets

from zoo.core.errors import UserError
from zoo.data import CIFAR10, DATASETS, KMNIST, MNIST, SVHN, FashionMNIST, download
from zoo.data.vision import read_idx

FAMILY = {"MNIST": MNIST, "FashionMNIST": FashionMNIST, "KMNIST": KMNIST}
COUNTS = {"train": 30, "test": 12}


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def numbers(*shape, seed=0, top=256):
    return np.random.default_rng(seed).integers(0, top, shape, dtype=np.uint8)


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return head + array.tobytes()


@pytest.fixture(params=FAMILY)
def family(request):
    return FAMILY[request.param]


def write_idx(root, name, packed=False):
    """Writes the four files; returns images and labels of both parts."""
    folder = root / name / "raw"
    folder.mkdir(parents=True)
    content = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        count = COUNTS[part]
        content[part] = numbers(count, 28, 28, seed=count), numbers(count, seed=count, top=10)
        for array, kind in zip(content[part], ("images-idx3", "labels-idx1"), strict=True):
            path = folder / f"{prefix}-{kind}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    return content


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_that_are_there_are_used(family, packed, tmp_path, no_network):
    content = write_idx(tmp_path, family.__name__, packed)
    data = family(root=str(tmp_path), val_size=10)
    data.prepare_data()
    for part in ("train", "test"):
        images = data.read(part)
        assert np.array_equal(images.pixels[:, 0].numpy(), content[part][0])
        assert np.array_equal(images.labels.numpy(), content[part][1])
        assert images.labels.dtype == torch.int64
    assert data.spec.shape == (1, 28, 28)
    assert len(data.images("train")) == 20
    assert family().val_size == 10_000


def write_cifar(root, monkeypatch):
    """Writes batches of six images each; torchvision insists on checksums, so it gets ours."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    content = {"train": [], "test": []}
    names = [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]
    for seed, name in enumerate(names):
        values, labels = numbers(6, 3, 32, 32, seed=seed), numbers(6, seed=seed, top=10).tolist()
        (folder / name).write_bytes(pickle.dumps({"data": values.reshape(6, -1), "labels": labels}))
        content["train" if "data" in name else "test"].append((values, labels))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    sums = [[name, md5(folder / name)] for name in names]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", sums[5:])
    meta = {**datasets.CIFAR10.meta, "md5": md5(folder / "batches.meta")}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    return content


def pack_cifar(root, monkeypatch):
    archive = root / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(root / "cifar-10-batches-py", "cifar-10-batches-py")
    shutil.rmtree(root / "cifar-10-batches-py")
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(archive))
    return archive


@pytest.mark.parametrize("packed", [False, True])
def test_cifar10_is_read_from_its_folder_or_its_archive(tmp_path, monkeypatch, packed, no_network):
    content = write_cifar(tmp_path, monkeypatch)
    if packed:
        pack_cifar(tmp_path, monkeypatch)
    data = CIFAR10(root=str(tmp_path), val_size=5)
    data.prepare_data()
    for part in ("train", "test"):
        images = data.read(part)
        assert np.array_equal(images.pixels.numpy(), np.concatenate([b for b, _ in content[part]]))
        assert images.labels.tolist() == [label for _, labels in content[part] for label in labels]
    assert data.images("train").fetch(torch.tensor([0])).shape == (1, *data.spec.shape)
    assert data.spec.shape == (3, 32, 32)
    assert not list(tmp_path.glob(".download*"))


def write_svhn(root, monkeypatch):
    content = {}
    table = {}
    root.mkdir(exist_ok=True)
    for part in ("train", "test"):
        count = COUNTS[part]
        values = numbers(32, 32, 3, count, seed=count)
        labels = 1 + np.arange(count, dtype=np.uint8)[:, None] % 10  # 10 stands for the digit 0
        path = root / f"{part}_32x32.mat"
        scipy.io.savemat(path, {"X": values, "y": labels})
        content[part] = values, labels
        url = datasets.SVHN.split_list[part][0]
        table[part] = [url, path.name, md5(path)]
    monkeypatch.setattr(datasets.SVHN, "split_list", table)
    return content


def test_svhn_is_read_from_its_files(tmp_path, monkeypatch, no_network):
    content = write_svhn(tmp_path, monkeypatch)
    data = SVHN(root=str(tmp_path), val_size=5)
    data.prepare_data()
    for part in ("train", "test"):
        images = data.read(part)
        values, labels = content[part]
        assert np.array_equal(images.pixels.numpy(), values.transpose(3, 2, 0, 1))
        assert np.array_equal(images.labels.numpy(), labels[:, 0] % 10)
    assert data.images("val").fetch(torch.tensor([0])).shape == (1, *data.spec.shape)


# ---------------------------------------------------------------- missing files

NEEDED = {
    "MNIST": ("MNIST/raw", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]),
    "FashionMNIST": ("FashionMNIST/raw", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]),
    "KMNIST": ("KMNIST/raw", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]),
    "CIFAR10": ("", ["cifar-10-python.tar.gz", "cifar-10-batches-py"]),
    "SVHN": ("", ["train_32x32.mat", "test_32x32.mat"]),
    "CelebA": ("celeba", ["img_align_celeba.zip", "list_eval_partition.txt"]),
}


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("how", ["prepare_data", "images"])
def test_missing_files_are_named_with_their_folder_and_nothing_is_left_behind(
    name, how, tmp_path, no_network, capfd
):
    root = tmp_path / "deep" / "root"
    data = DATASETS[name](root=str(root))
    with pytest.raises(UserError) as caught:
        data.prepare_data() if how == "prepare_data" else data.images("train")
    message = str(caught.value)
    folder, files = NEEDED[name]
    assert message.startswith(f"{name} is missing and could not be downloaded (")
    assert "\n" not in message
    assert f"into {root / folder}, or say" in message
    assert all(file in message for file in files)
    assert "recipes/infogan_digits.yaml needs no download" in message
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_the_message_lists_only_what_is_missing(tmp_path, no_network):
    write_idx(tmp_path, "MNIST")
    (tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError) as caught:
        MNIST(root=str(tmp_path)).prepare_data()
    assert "Put t10k-labels-idx1-ubyte (plain or .gz) into" in str(caught.value)
    assert len(list((tmp_path / "MNIST/raw").iterdir())) == 3


def test_a_root_that_cannot_be_written_is_no_traceback(tmp_path, no_network):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="MNIST is missing and could not be downloaded"):
        MNIST(root=str(tmp_path / "file")).prepare_data()


# ---------------------------------------------------------------- damaged files


@pytest.mark.parametrize("packed", [False, True])
def test_truncated_idx_files_are_named(tmp_path, packed, no_network):
    write_idx(tmp_path, "MNIST", packed)
    path = tmp_path / "MNIST/raw" / f"t10k-images-idx3-ubyte{'.gz' if packed else ''}"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError) as caught:
        MNIST(root=str(tmp_path)).images("test")
    assert str(caught.value).startswith(f"{path} is damaged: ")
    assert "Delete it" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "does not start"),
        (b"<html>sorry</html>", "does not start"),
        (b"\0\0\x0d\1" + bytes(20), "does not start"),  # floats
        (b"\0\0\x08\3\0\0", "ends within its header"),
        (idx(numbers(5, 2, 2)) + b"x", "it has 37 bytes where its header states 36"),
        (b"\0\0\x08\3" + b"\xff" * 12, "it has 16 bytes where its header states 79,228,"),
    ],
)
def test_files_that_are_no_idx_files_are_refused(tmp_path, data, why):
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(UserError, match=why):
        read_idx(path)


def test_idx_files_that_do_not_belong_together_are_refused(tmp_path):
    write_idx(tmp_path, "MNIST")
    folder = tmp_path / "MNIST" / "raw"
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(numbers(29, top=10)))
    with pytest.raises(UserError, match=r"train-labels.*do not fit the 30 images"):
        MNIST(root=str(tmp_path)).read("train")
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(np.full(30, 10, np.uint8)))
    with pytest.raises(UserError, match=r"train-labels.*do not fit"):
        MNIST(root=str(tmp_path)).read("train")
    (folder / "train-images-idx3-ubyte").write_bytes(idx(numbers(30, 28, 27)))
    with pytest.raises(UserError, match=r"train-images.*its shape is \(30, 28, 27\)"):
        MNIST(root=str(tmp_path)).read("train")


def test_damaged_cifar_and_svhn_files_are_named(tmp_path, monkeypatch, no_network):
    write_cifar(tmp_path, monkeypatch)
    write_svhn(tmp_path, monkeypatch)
    for kind, name in ((CIFAR10, "cifar-10-batches-py/data_batch_3"), (SVHN, "test_32x32.mat")):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(UserError) as caught:
            kind(root=str(tmp_path)).images("test")
        assert str(caught.value).startswith(f"{path} is damaged: its checksum is wrong. Delete it")


def test_a_damaged_archive_is_named_and_not_unpacked(tmp_path, monkeypatch, no_network):
    write_cifar(tmp_path, monkeypatch)
    archive = pack_cifar(tmp_path, monkeypatch)
    archive.write_bytes(archive.read_bytes()[:-50])
    with pytest.raises(UserError, match=r"cifar-10-python.tar.gz is damaged: its checksum"):
        CIFAR10(root=str(tmp_path)).prepare_data()
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(archive))  # as if it came like this
    with pytest.raises(UserError, match=r"cifar-10-python.tar.gz cannot be unpacked"):
        CIFAR10(root=str(tmp_path)).prepare_data()
    assert list(tmp_path.iterdir()) == [archive]


# ---------------------------------------------------------------- downloads


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        self.server.asked.append(self.path)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of the files in ``served``, on this machine; gives its address and its log."""
    monkeypatch.setenv("no_proxy", "*")
    served = tmp_path / "served"
    served.mkdir()
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *a: _Handler(*a, directory=str(served))
    ) as running:
        running.asked = []
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/", served, running.asked
        running.shutdown()
        thread.join()


def serve_mnist(served, url, monkeypatch, tmp_path):
    content = write_idx(tmp_path / "made", "MNIST", packed=True)
    resources = []
    for name, _ in datasets.MNIST.resources:
        shutil.copy(tmp_path / "made/MNIST/raw" / name, served)
        resources.append((name, md5(served / name)))
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [url + "nothing/", url])
    return content


def test_missing_files_are_downloaded_once_and_unpacked(server, tmp_path, monkeypatch, capfd):
    url, served, asked = server
    content = serve_mnist(served, url, monkeypatch, tmp_path)
    data = MNIST(root=str(tmp_path / "root"), val_size=3)
    data.prepare_data()
    assert capfd.readouterr().out == ""
    before = len(asked)
    data.setup()  # only reads
    assert len(asked) == before
    assert np.array_equal(data.images("test").pixels[:, 0].numpy(), content["test"][0])
    names = sorted(path.name for path in (tmp_path / "root/MNIST/raw").iterdir())
    assert names == sorted(name.removesuffix(".gz") for name, _ in datasets.MNIST.resources)
    datasets.MNIST(tmp_path / "root")  # torchvision finds it, too


def test_reading_without_a_trainer_downloads_only_its_own_part(server, tmp_path, monkeypatch):
    url, served, _ = server
    content = serve_mnist(served, url, monkeypatch, tmp_path)
    images = MNIST(root=str(tmp_path / "root")).images("test")
    assert np.array_equal(images.labels.numpy(), content["test"][1])
    assert len(list((tmp_path / "root/MNIST/raw").iterdir())) == 2


def test_cifar_and_svhn_are_downloaded(server, tmp_path, monkeypatch):
    url, served, _ = server
    write_cifar(served, monkeypatch)
    pack_cifar(served, monkeypatch)
    write_svhn(served, monkeypatch)
    monkeypatch.setattr(datasets.CIFAR10, "url", url + "cifar-10-python.tar.gz")
    table = {part: [url + row[1], *row[1:]] for part, row in datasets.SVHN.split_list.items()}
    monkeypatch.setattr(datasets.SVHN, "split_list", table)
    root = str(tmp_path / "root")
    assert len(CIFAR10(root=root).images("test")) == 6
    assert len(SVHN(root=root).images("test")) == 12
    names = sorted(path.name for path in (tmp_path / "root").iterdir())
    assert names == ["cifar-10-batches-py", "test_32x32.mat"]
    # a folder that lost a file is completed
    (tmp_path / "root/cifar-10-batches-py/data_batch_2").unlink()
    assert len(CIFAR10(root=root, val_size=1).images("train")) == 29


def test_a_download_with_a_wrong_checksum_is_not_kept(server, tmp_path, monkeypatch):
    url, served, _ = server
    serve_mnist(served, url, monkeypatch, tmp_path)
    (served / "train-labels-idx1-ubyte.gz").write_bytes(b"<html>please log in</html>")
    with pytest.raises(UserError, match="wrong checksum") as caught:
        MNIST(root=str(tmp_path / "root")).prepare_data()
    assert "(127.0.0.1: File not found; 127.0.0.1: what it sent has a wrong" in str(caught.value)
    assert "Put train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-lab" in str(caught.value)
    # what did arrive is whole and stays
    names = [path.name for path in (tmp_path / "root/MNIST/raw").iterdir()]
    assert names == ["train-images-idx3-ubyte"]


def test_a_server_that_never_answers_is_given_up(tmp_path, monkeypatch):
    import socket

    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(datasets.KMNIST, "mirrors", [url])
        start = time.perf_counter()
        with pytest.raises(UserError, match="timed out"):
            KMNIST(root=str(tmp_path / "root")).prepare_data()
        assert time.perf_counter() - start < 5
    assert not (tmp_path / "root").exists()
    assert socket.getdefaulttimeout() is None
