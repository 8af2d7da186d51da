using System.Numerics;
using System.Text;
using Diffract.Runs;

namespace Diffract.Formats;

/// <summary>
/// What torch.save wrote: the zip form of torch 1.6 and later, or the form before it (a row of pickles, then raw storages). The file is mapped; its pickle is read by an allow-list and
/// never executed (<see cref="Unpickler"/>), and tensors stay views into the mapping.
/// </summary>
public sealed unsafe class TorchFile : IDisposable
{
    /// <summary>The number with which the older form begins.</summary>
    static readonly BigInteger OlderMagic = BigInteger.Parse("119547037146038801333356", System.Globalization.CultureInfo.InvariantCulture);

    const long OlderProtocol = 1001;
    readonly MappedFile _file;
    readonly Dictionary<string, TorchStorage> _storages = new(StringComparer.Ordinal);

    /// <exception cref="DiffractException">The file is missing, damaged, or holds what the allow-list does not know; the message names it.</exception>
    public TorchFile(string path)
    {
        _file = new MappedFile(path);
        try
        {
            Root = ZipRecords.Is(_file) ? ReadZip() : ReadOlder();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public string FilePath => _file.FilePath;

    /// <summary>What was saved: null, bool, long, BigInteger, double, string, byte[], List, <see cref="PickleTuple"/>, <see cref="PickleDict"/> or <see cref="TorchTensor"/>.</summary>
    public object? Root { get; }

    public void Dispose() => _file.Dispose();

    object? ReadZip()
    {
        ZipRecords records = new(_file);
        string[] pickles = [.. records.Names.Where(n => n == "data.pkl" || n.EndsWith("/data.pkl", StringComparison.Ordinal))];
        if (pickles.Length != 1)
        {
            throw new DiffractException($"{FilePath} is a zip archive with {pickles.Length} records data.pkl, wanted the one that torch.save writes");
        }

        string root = pickles[0][..^"data.pkl".Length];
        if (records.Names.Contains(root + "constants.pkl"))
        {
            throw new DiffractException($"{FilePath} is a TorchScript program, which is not read; save its state_dict() with torch.save");
        }

        if (records.Find(root + "byteorder") is { } order && Encoding.ASCII.GetString(_file.Start + order.Begin, (int)Math.Min(order.Bytes, 16)) is not "little" and var other)
        {
            throw new DiffractException($"{FilePath} has the byte order '{new string([.. other.Where(char.IsLetter)])}', wanted little");
        }

        (long begin, long bytes) = records.Find(pickles[0])!.Value;
        return new Unpickler(FilePath, _file.Start + begin, bytes, id =>
        {
            (string key, TorchStorage storage) = Storage(id);
            if (storage.Data is null && storage.Bytes > 0)
            {
                (long at, long there) = records.Find($"{root}data/{key}") ?? throw Broken($"it has no record data/{Shown(key)}");
                storage.Data = there >= storage.Bytes ? _file.Start + at : throw Broken($"record data/{Shown(key)} has {there} bytes, its tensors need {storage.Bytes}");
            }

            return storage;
        }).Load(0);
    }

    object? ReadOlder()
    {
        Unpickler unpickler = new(FilePath, _file.Start, _file.Length, id => Storage(id).Storage);
        if (_file.Length < 2 || _file.Start[0] != 0x80)
        {
            throw new DiffractException($"{FilePath} is not a file of torch.save: it begins neither as a zip archive nor as a pickle");
        }

        if (unpickler.Load(0) is not BigInteger magic || magic != OlderMagic)
        {
            throw new DiffractException($"{FilePath} is a pickle, but not one of torch.save (its number is missing)");
        }

        if (unpickler.Load(unpickler.Position) is not OlderProtocol)
        {
            throw Broken($"its protocol is not {OlderProtocol}");
        }

        if (unpickler.Load(unpickler.Position) is not PickleDict system || !system.TryGet("little_endian", out object? little) || little is not true)
        {
            throw Broken("it was not written little-endian");
        }

        object? root = unpickler.Load(unpickler.Position);
        if (unpickler.Load(unpickler.Position) is not List<object?> keys)
        {
            throw Broken("the list of its storages is missing");
        }

        PlaceStorages(keys, unpickler.Position);
        return root;
    }

    /// <summary>The older form's storages lie one after another, each behind its number of elements.</summary>
    void PlaceStorages(List<object?> keys, long at)
    {
        foreach (object? key in keys)
        {
            if (key is not string name || !_storages.TryGetValue(name, out TorchStorage? storage) || storage.Data is not null)
            {
                throw Broken("the list of its storages does not fit its tensors");
            }

            long left = _file.Length - at - sizeof(long);
            long items = left >= 0 ? *(long*)(_file.Start + at) : 0;
            if (left < storage.Bytes || items != storage.Bytes / TensorEntry.ElementSize(storage.Type))
            {
                throw Broken($"storage {Shown(name)} at byte {at} should have {storage.Bytes} bytes: the file is truncated or damaged; fetch it again");
            }

            storage.Data = _file.Start + at + sizeof(long);
            at += sizeof(long) + storage.Bytes;
        }

        if (_storages.Any(s => s.Value.Data is null && s.Value.Bytes > 0))
        {
            throw Broken("a tensor's storage is missing");
        }
    }

    /// <summary>The storage of a persistent id, ("storage", class, key, device, elements), and in the older form a sixth item, always None.</summary>
    (string Key, TorchStorage Storage) Storage(object? id)
    {
        if (id is not PickleTuple { Items: ["storage", PickleGlobal kind, string key, string or null, long items, .. var rest] } || rest is not ([] or [null])
            || TorchGlobals.StorageType(kind) is not var (type, untyped))
        {
            throw Broken("a storage is described as torch.save does not do it");
        }

        if (items < 0 || items > _file.Length / TensorEntry.ElementSize(type))
        {
            throw Broken($"storage {Shown(key)} of {items} elements is longer than the file");
        }

        long bytes = items * TensorEntry.ElementSize(type);
        if (!_storages.TryGetValue(key, out TorchStorage? storage))
        {
            _storages[key] = storage = new TorchStorage(type, untyped, bytes);
        }

        return storage.Type == type && storage.Untyped == untyped && storage.Bytes == bytes
            ? (key, storage)
            : throw Broken($"storage {Shown(key)} is described twice, differently");
    }

    static string Shown(string name) => string.Concat(name.Take(40).Select(c => char.IsControl(c) ? '?' : c));

    DiffractException Broken(string what) => new($"{FilePath} is not a sound file of torch.save: {what}");
}
