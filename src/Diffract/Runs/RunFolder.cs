namespace Diffract.Runs;

/// <summary>The folder of one run; a sub-folder for each stage, as docs/formats.md lists them.</summary>
public sealed class RunFolder
{
    RunFolder(string root) => Root = root;

    /// <summary>Absolute path.</summary>
    public string Root { get; }

    public string Tokens => Path.Combine(Root, "tokens");

    /// <summary>The truth behind a run whose activations were drawn from a known dictionary.</summary>
    public string Planted => Path.Combine(Root, "planted");

    /// <summary>What each crosscoder's claims are worth against that truth.</summary>
    public string Scores => Path.Combine(Root, "scores");

    public string Report => Path.Combine(Root, "report");

    /// <summary>Activations after the blocks with these 0-based indices.</summary>
    public string Activations(LayerPair layer) => Path.Combine(Root, "activations", layer.FolderName);

    public string Crosscoder(string name) => Path.Combine(Root, "crosscoders", Checked(name));

    public string Latents(string name) => Path.Combine(Root, "latents", Checked(name));

    public string Scaling(string name) => Path.Combine(Root, "scaling", Checked(name));

    public string Evidence(string name) => Path.Combine(Root, "evidence", Checked(name));

    /// <summary>An existing run.</summary>
    public static RunFolder Open(string path)
        => Directory.Exists(path)
            ? new RunFolder(Path.GetFullPath(path))
            : throw DiffractException.Argument($"run folder {path} does not exist; make one with `diffract run` or `diffract tokenize`");

    public static RunFolder Create(string path)
    {
        if (File.Exists(path))
        {
            throw DiffractException.Argument($"{path} is a file, wanted a folder; choose another name with --out");
        }

        Directory.CreateDirectory(path);
        return new RunFolder(Path.GetFullPath(path));
    }

    /// <summary>Path relative to the run, with forward slashes: how manifests name files.</summary>
    public string Relative(string path) => Path.GetRelativePath(Root, path).Replace('\\', '/');

    /// <summary>Names of the folders that are there under "crosscoders", "activations", … in ordinal order.</summary>
    public IReadOnlyList<string> Names(string stage)
    {
        string folder = Path.Combine(Root, stage);
        return Directory.Exists(folder)
            ? [.. Directory.GetDirectories(folder).Select(d => Path.GetFileName(d)!).Where(n => File.Exists(Path.Combine(folder, n, StageManifest.FileName))).Order(StringComparer.Ordinal)]
            : [];
    }

    /// <summary>A name is one folder inside the run, never a way out of it.</summary>
    static string Checked(string name)
        => name.Trim('.', ' ').Length > 0 && !name.Any(c => char.IsControl(c) || c is '/' or '\\' or ':')
            ? name
            : throw DiffractException.Argument($"\"{name}\" cannot name a crosscoder; wanted the name of one folder, without / \\ or :");
}
