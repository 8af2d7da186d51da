using Diffract.Runs;

namespace Diffract.Formats.Hub;

/// <summary>
/// One repository in the hub's cache, in the layout of its own tools: <c>blobs/&lt;hash&gt;</c>, <c>snapshots/&lt;commit&gt;/&lt;file&gt;</c> as links to them, <c>refs/&lt;revision&gt;</c> with a commit,
/// and locks beside.
/// </summary>
sealed class HubCache(string root, HubName name)
{
    readonly string _name = (name.IsDataset ? "datasets--" : "models--") + name.Repository.Replace("/", "--", StringComparison.Ordinal);

    public string Folder => Path.Combine(root, _name);

    public string Blob(string hash) => Path.Combine(Folder, "blobs", hash);

    /// <summary>Where a blob grows; the hub's own tools go on with it, as we go on with theirs.</summary>
    public string Incomplete(string hash) => Blob(hash) + ".incomplete";

    public string Snapshot(string commit) => Path.Combine(Folder, "snapshots", commit);

    /// <summary>Our own note of a commit's files, with their lengths and hashes; other tools pass over it.</summary>
    public string List(string commit) => Path.Combine(Folder, ".diffract", commit + ".json");

    /// <summary>The commit that a revision stood for when it was last fetched; a full commit stands for itself.</summary>
    public string? Commit(string revision)
    {
        if (revision.Length == 40 && revision.All(char.IsAsciiHexDigitLower))
        {
            return revision;
        }

        string path = Path.Combine(Folder, "refs", revision);
        return File.Exists(path) && File.ReadAllText(path).Trim() is { Length: 40 } commit && commit.All(char.IsAsciiHexDigitLower) ? commit : null;
    }

    public void SetCommit(string revision, string commit)
    {
        if (revision == commit)
        {
            return;
        }

        // Under a name of its own, since other processes may write the same at this moment.
        string path = Path.Combine(Folder, "refs", revision), beside = Path.Combine(Folder, Path.GetRandomFileName());
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(beside, commit);
        File.Move(beside, path, overwrite: true);
    }

    /// <summary>Makes a file of the snapshot stand for a blob: a relative link, or a copy where the file system has no links.</summary>
    public void Link(string commit, string file, string hash, IProgressSink progress)
    {
        string path = Path.Combine(Snapshot(commit), file);
        if (File.Exists(path))
        {
            return;
        }

        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.Delete(path);
        try
        {
            File.CreateSymbolicLink(path, Path.GetRelativePath(Path.GetDirectoryName(path)!, Blob(hash)));
        }
        catch (Exception e) when ((e is IOException or UnauthorizedAccessException) && !File.Exists(path))
        {
            progress.Warn($"{path} is a copy, since no symbolic link can be made there ({e.Message})");
            File.Copy(Blob(hash), path);
        }
        catch (IOException)
        {
            // Another process made it in the meantime.
        }
    }

    /// <summary>Waits until this process alone may write a blob. The same advisory lock as that of the hub's own tools.</summary>
    public IDisposable Lock(string hash, IProgressSink progress, CancellationToken stop)
    {
        string path = Path.Combine(root, ".locks", _name, hash + ".lock");
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        for (int tries = 0; ; tries++)
        {
            stop.ThrowIfCancellationRequested();
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (UnauthorizedAccessException e)
            {
                throw new DiffractException($"cannot lock {path}: {e.Message}; choose a cache that can be written with HF_HUB_CACHE", inner: e);
            }
            catch (IOException) when (File.Exists(path))
            {
                if (tries == 5)
                {
                    progress.Line($"hub: waiting for another process that fetches the same file ({path})");
                }

                stop.WaitHandle.WaitOne(TimeSpan.FromMilliseconds(200));
            }
        }
    }
}
