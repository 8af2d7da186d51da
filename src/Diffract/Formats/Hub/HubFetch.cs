using System.Security.Cryptography;
using System.Text;
using Diffract.Runs;

namespace Diffract.Formats.Hub;

/// <summary>Fetches files of one repository into the cache: what is whole there is not asked for, what was begun is gone on with, and a blob gets its name only after its length and hash were found right.</summary>
sealed class HubFetch(HubClient client, HubCache cache, HubName name, IProgressSink progress, CancellationToken stop)
{
    long _done;
    long _total;

    /// <summary>Makes files of a commit be there.</summary>
    public void Files(HubCommit commit, IReadOnlyList<HubFile> files)
    {
        HubFile[] absent = [.. files.Where(f => !Whole(f))];
        _total += absent.Sum(f => f.Bytes);
        CheckSpace(absent);
        foreach (HubFile file in absent)
        {
            using (cache.Lock(file.Hash, progress, stop))
            {
                // Another process may have fetched it while this one waited.
                if (!Whole(file))
                {
                    FetchOne(commit, file);
                }
            }

            _done += file.Bytes;
        }

        foreach (HubFile file in files)
        {
            cache.Link(commit.Sha, file.Name, file.Hash, progress);
        }

        if (absent.Length > 0)
        {
            progress.Done("hub", FormattableString.Invariant($"{absent.Length} files of {name}, {absent.Sum(f => f.Bytes) / 1e6:0.0} MB, commit {commit.Sha[..7]}"));
        }
    }

    bool Whole(HubFile file) => File.Exists(cache.Blob(file.Hash)) && CheckpointFiles.Length(cache.Blob(file.Hash)) == file.Bytes;

    void FetchOne(HubCommit commit, HubFile file)
    {
        string path = cache.Incomplete(file.Hash);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        string got = "";
        for (int tries = 0; tries < 2; tries++)
        {
            client.Fetch(name, commit.Sha, file, path, at => progress.Report($"hub: {file.Name}", (_done + at) >> 20, _total >> 20, "MiB"), stop);
            got = Hash(path, file);
            if (got == file.Hash)
            {
                File.Move(path, cache.Blob(file.Hash), overwrite: true);
                return;
            }

            // What an interrupted download left may be what is wrong: once more from nothing.
            File.Delete(path);
        }

        throw new DiffractException($"{file.Name} of {name} has the hash {got}, the hub lists {file.Hash}; it was removed: try again, or check HF_ENDPOINT");
    }

    void CheckSpace(HubFile[] absent)
    {
        Directory.CreateDirectory(cache.Folder);
        long wanted = absent.Sum(f => f.Bytes), free = new DriveInfo(cache.Folder).AvailableFreeSpace;
        if (wanted > free)
        {
            throw new DiffractException(FormattableString.Invariant($"{name} needs {wanted / 1e9:0.0} GB, {cache.Folder} has {free / 1e9:0.0} GB left; free some space or set HF_HUB_CACHE"));
        }
    }

    /// <summary>The hash under which the hub lists a file: SHA-256, or git's SHA-1 of a header and the bytes.</summary>
    static string Hash(string path, HubFile file)
    {
        using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1);
        using IncrementalHash hash = IncrementalHash.CreateHash(file.Large ? HashAlgorithmName.SHA256 : HashAlgorithmName.SHA1);
        if (!file.Large)
        {
            hash.AppendData(Encoding.ASCII.GetBytes(FormattableString.Invariant($"blob {file.Bytes}\0")));
        }

        byte[] buffer = new byte[1 << 20];
        for (int read; (read = stream.Read(buffer)) > 0;)
        {
            hash.AppendData(buffer, 0, read);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
