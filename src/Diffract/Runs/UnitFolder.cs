using System.Globalization;
using System.Text.Json;

namespace Diffract.Runs;

/// <summary>Between which of them a process may die while it publishes a unit.</summary>
public enum PublishStep
{
    /// <summary>The unit's file lies whole in the process's own folder.</summary>
    Made,

    /// <summary>It has its name; no manifest tells of it yet.</summary>
    Placed,

    /// <summary>The manifest tells of it.</summary>
    Published,
}

/// <summary>
/// The units of a stage that one or several processes make into one folder, on one machine or on several that share the file system. Each unit is computed at least once and published exactly once:
/// its file is written whole in a folder of the process's own and flushed, takes its name only where that is free, and then its manifest does the same. What is done is counted from manifests alone.
/// Whoever finds all of them closes the stage; several may try, one does.
/// </summary>
public sealed class UnitFolder : IDisposable
{
    const string FolderName = "units", OwnPrefix = "making-";

    readonly string _folder, _units, _backend;
    readonly IReadOnlyList<string> _files;
    readonly IProgressSink _progress;
    readonly HashSet<int> _own = [];
    string? _making;

    /// <param name="folder">The stage's; absolute.</param>
    /// <param name="share">What this process makes; null: everything.</param>
    /// <param name="files">The file of each unit, relative to the stage folder.</param>
    /// <param name="context">Its backend and its progress.</param>
    public UnitFolder(string folder, TaskShare? share, IReadOnlyList<string> files, StageContext context)
        => (_folder, _units, Share, _files, _backend, _progress) = (folder, Path.Combine(folder, FolderName), share, files, context.Backend.Description, context.Progress);

    /// <summary>Called at each step of a publication with the unit. Null; a test throws here what a kill would cut off.</summary>
    public static AsyncLocal<Action<PublishStep, int>?> Watch { get; } = new();

    /// <summary>What a process leaves behind that was killed is removed once it has not been written to for so long.</summary>
    public static TimeSpan Grace { get; } = TimeSpan.FromMinutes(15);

    public TaskShare? Share { get; }

    public int Count => _files.Count;

    /// <summary>Another process has closed the stage.</summary>
    public bool Closed => File.Exists(Path.Combine(_folder, StageManifest.FileName));

    /// <summary>A folder for unfinished files that no other process looks into; it goes with this object.</summary>
    public string Making
    {
        get
        {
            _making ??= Path.Combine(_units, OwnPrefix + ExclusiveFile.ProcessMark());
            Directory.CreateDirectory(_making);
            return _making;
        }
    }

    /// <summary>Whether this process makes it.</summary>
    public bool Takes(int unit) => Share?.Takes(unit) ?? true;

    public string PathOf(int unit) => Path.Combine(_folder, _files[unit]);

    /// <summary>What is published now. A manifest that cannot be read is said and taken back: its unit is missing then.</summary>
    /// <exception cref="DiffractException">Units were published that this process would cut otherwise.</exception>
    public IReadOnlyDictionary<int, UnitManifest> Published()
    {
        SortedDictionary<int, UnitManifest> published = [];
        foreach ((int number, string path) in Manifests(_folder))
        {
            if (Load(path) is not { } manifest)
            {
                continue;
            }

            if (manifest.Units != Count || manifest.File != _files[number])
            {
                throw new DiffractException(
                    $"{path} tells of {manifest.File}, one of {manifest.Units} units; here {(number < Count ? $"it would be {_files[number]}, " : "")}one of {Count}: give every task the same options, or remove {_units} to begin again");
            }

            published[number] = manifest;
        }

        return published;
    }

    /// <summary>Writes and publishes a unit. Where another was first, its file stays.</summary>
    /// <param name="unit">The unit.</param>
    /// <param name="save">Writes the file at the path it is given, whole and flushed.</param>
    /// <param name="fits">Whether a file that is there is the unit's.</param>
    /// <param name="seconds">Spent on computing it.</param>
    public void Publish(int unit, Func<string, FileSeal> save, Func<string, bool> fits, double seconds)
    {
        string path = PathOf(unit), made = Path.Combine(Making, Path.GetFileName(path));
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        FileSeal seal = save(made);
        Watch.Value?.Invoke(PublishStep.Made, unit);
        while (!Place(made, path, save))
        {
            if (fits(path))
            {
                FileSeal there = AtomicFile.Seal(path);
                if (there != seal)
                {
                    _progress.Warn($"{Name(unit)} was published by another process with other bytes, which are kept; tasks on processors of different kinds differ in the last bits");
                }

                (seal, _) = (there, _own.Remove(unit));
                File.Delete(made);
                Announce(unit, seal, _backend, seconds);
                return;
            }

            // Left by something that did not publish it whole.
            File.Delete(path);
        }

        Watch.Value?.Invoke(PublishStep.Placed, unit);
        _own.Add(unit);
        Announce(unit, seal, _backend, seconds);
        Watch.Value?.Invoke(PublishStep.Published, unit);
    }

    /// <summary>Publishes a unit whose file is there though no manifest tells of it: its process died in between. A file that is not the unit's is removed. False: there was none.</summary>
    public bool TryAdopt(int unit, Func<string, bool> fits)
    {
        string path = PathOf(unit);
        if (!File.Exists(path))
        {
            return false;
        }

        if (!fits(path))
        {
            _progress.Warn($"{Name(unit)} is not whole; it is made again");
            File.Delete(path);
            return false;
        }

        Announce(unit, AtomicFile.Seal(path), "", 0);
        return true;
    }

    /// <summary>What is wrong with a published unit's file, by name, or null. What this process wrote itself is not read again.</summary>
    public string? Fault(UnitManifest manifest)
    {
        FileInfo file = new(PathOf(manifest.Unit));
        return !file.Exists ? $"{Name(manifest.Unit)} is gone though its manifest tells of it"
            : file.Length != manifest.Seal.Bytes ? $"{Name(manifest.Unit)} has {file.Length} bytes, it was published with {manifest.Seal.Bytes}: truncated or changed"
            : !_own.Contains(manifest.Unit) && AtomicFile.Seal(file.FullName) != manifest.Seal ? $"{Name(manifest.Unit)} does not match the checksum that it was published with: changed or damaged"
            : null;
    }

    /// <summary>Takes a published unit back, so that it is missing and made again.</summary>
    public void Withdraw(int unit)
    {
        _own.Remove(unit);
        File.Delete(ManifestOf(unit));
        File.Delete(PathOf(unit));
    }

    /// <summary>Puts an output of the stage, made in <see cref="Making"/>, in its place. What another closer put there is the same and stays; what is not is replaced.</summary>
    public void PlaceOutput(string name, FileSeal seal)
    {
        string made = Path.Combine(Making, name), path = Path.Combine(_folder, name);
        if (!ExclusiveFile.TryPlace(made, path, Share is null))
        {
            if (AtomicFile.Seal(path) == seal)
            {
                File.Delete(made);
            }
            else
            {
                File.Move(made, path, overwrite: true);
            }
        }
    }

    /// <summary>Writes the stage's manifest, once: false where another closer was first.</summary>
    public bool Close(StageManifest manifest)
    {
        manifest.Save(Making);
        return ExclusiveFile.TryPlace(Path.Combine(Making, StageManifest.FileName), Path.Combine(_folder, StageManifest.FileName), Share is null);
    }

    public void Dispose()
    {
        if (_making is not null && Directory.Exists(_making))
        {
            Directory.Delete(_making, recursive: true);
        }

        if (Closed)
        {
            Clean(_folder);
        }
    }

    /// <summary>
    /// Removes what a closed stage no longer needs, but not what another process may be writing at this moment: a folder of its own that was written to within <see cref="Grace"/>, by the file
    /// system's clock.
    /// </summary>
    public static void Clean(string folder)
    {
        string units = Path.Combine(folder, FolderName);
        try
        {
            if (Directory.Exists(units))
            {
                Clean(folder, units);
            }
        }
        catch (IOException)
        {
            // Another process cleans at the same time.
        }
    }

    static void Clean(string folder, string units)
    {
        string clock = Path.Combine(units, ExclusiveFile.ProcessMark());
        File.WriteAllText(clock, "");
        DateTime old = File.GetLastWriteTimeUtc(clock) - Grace;
        Array.ForEach(Directory.GetFiles(units), File.Delete);
        foreach (string making in Directory.GetDirectories(units, OwnPrefix + "*"))
        {
            if (Directory.GetLastWriteTimeUtc(making) < old && Directory.GetFiles(making).All(f => File.GetLastWriteTimeUtc(f) < old))
            {
                Directory.Delete(making, recursive: true);
            }
        }

        foreach (string unplaced in Directory.GetFiles(folder, "*.new").Where(f => File.GetLastWriteTimeUtc(f) < old))
        {
            File.Delete(unplaced);
        }

        if (!Directory.EnumerateFileSystemEntries(units).Any())
        {
            Directory.Delete(units);
        }
    }

    /// <summary>Whether some unit of an unfinished stage folder is published.</summary>
    public static bool Begun(string folder) => Manifests(folder).Any();

    /// <summary>How far a stage folder without a manifest has come, by its units, and what makes the rest; null: it has no published unit.</summary>
    /// <param name="folder">Absolute path.</param>
    /// <param name="makeIt">The command that makes it.</param>
    public static string? Unfinished(string folder, string makeIt)
    {
        UnitManifest[] published = [.. Manifests(folder).Select(m => Readable(m.Path)).OfType<UnitManifest>()];
        if (published.Length == 0)
        {
            return null;
        }

        int units = published[0].Units, of = published.Max(m => m.Of);
        int[] missing = [.. Enumerable.Range(0, units).Except(published.Select(m => m.Unit))];
        return missing.Length == 0
            ? string.Create(CultureInfo.InvariantCulture, $"all {units} units are published, and no task has closed it; run `{makeIt}`")
            : string.Create(CultureInfo.InvariantCulture, $"{Missing(missing, units, of)}; run `{makeIt}{(of > 1 ? $" --task {missing[0] % of} --of {of}" : "")}`{(of > 1 ? $" and so on, or `{makeIt}` for all of them" : "")}");
    }

    /// <summary>"3 of 40 units are missing (5, 21, 37), which task 5 of 16 makes".</summary>
    public static string Missing(IReadOnlyList<int> missing, int units, int of)
    {
        int[] tasks = [.. missing.Select(u => u % of).Distinct().Order()];
        string who = of == 1 ? "" : $", which {(tasks.Length == 1 ? "task" : "tasks")} {List(tasks)} of {of} {(tasks.Length == 1 ? "makes" : "make")}";
        return string.Create(CultureInfo.InvariantCulture, $"{missing.Count} of {units} units {(missing.Count == 1 ? "is" : "are")} missing ({List(missing)}){who}");
    }

    static string List(IReadOnlyList<int> numbers)
    {
        const int Most = 8;
        return string.Join(", ", numbers.Take(Most).Select(n => n.ToString(CultureInfo.InvariantCulture))) + (numbers.Count > Most ? ", …" : "");
    }

    static UnitManifest? Readable(string path)
    {
        try
        {
            return UnitManifest.TryLoad(path);
        }
        catch (DiffractException)
        {
            return null;
        }
    }

    static IEnumerable<(int Number, string Path)> Manifests(string folder)
    {
        // By listing, not name by name: a shared file system looks a folder up anew, and remembers for a while that a name was not there.
        string units = Path.Combine(folder, FolderName);
        try
        {
            return Directory.GetFiles(units, "*.json").Select(p => (Number: UnitManifest.NumberOf(p), p)).Where(m => m.Number is not null).Select(m => (m.Number!.Value, m.p)).Order();
        }
        catch (DirectoryNotFoundException)
        {
            return [];
        }
    }

    UnitManifest? Load(string path)
    {
        try
        {
            return UnitManifest.TryLoad(path);
        }
        catch (DiffractException e)
        {
            _progress.Warn(e.Message + "; it is taken back, and the unit is missing until its task is run again");
            File.Delete(path);
            return null;
        }
    }

    /// <summary>True: the file is in its place. False: another is.</summary>
    bool Place(string made, string path, Func<string, FileSeal> save)
    {
        try
        {
            return ExclusiveFile.TryPlace(made, path, Share is null);
        }
        catch (FileNotFoundException)
        {
            // Taken for something left behind. It is still in memory.
            Directory.CreateDirectory(Path.GetDirectoryName(made)!);
            save(made);
            return ExclusiveFile.TryPlace(made, path, Share is null);
        }
    }

    void Announce(int unit, FileSeal seal, string backend, double seconds)
    {
        UnitManifest manifest = new() { Unit = unit, Units = Count, File = _files[unit], Seal = seal, Of = Share?.Of ?? 1, Backend = backend, Seconds = seconds };
        string made = Path.Combine(Making, Path.GetFileName(ManifestOf(unit)));
        AtomicFile.WriteText(made, JsonSerializer.Serialize(manifest, Provenance.Json));
        if (!ExclusiveFile.TryPlace(made, ManifestOf(unit), Share is null))
        {
            File.Delete(made);
        }
    }

    string ManifestOf(int unit) => Path.Combine(_units, string.Create(CultureInfo.InvariantCulture, $"{unit:D5}.json"));

    string Name(int unit) => Path.GetRelativePath(Path.GetDirectoryName(Path.GetDirectoryName(_folder)!)!, PathOf(unit)).Replace('\\', '/');
}
