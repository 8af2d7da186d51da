using Diffract.Compute.Kernels;
using Diffract.Runs;

namespace Diffract.Crosscoders;

/// <summary>A crosscoder's folder of any layout, written again in another one.</summary>
public static class LooseExport
{
    /// <param name="folder">The folder to read.</param>
    /// <param name="layout">The layout to write, by its name.</param>
    /// <param name="output">The folder to write.</param>
    /// <param name="backend">Where the weights lie meanwhile.</param>
    /// <param name="progress">Told what was written.</param>
    /// <exception cref="DiffractException">The layout cannot hold the dictionary, or would be written over what it is read from.</exception>
    public static void Run(string folder, string layout, string output, IBackend backend, IProgressSink progress)
    {
        if (!LayoutWriter.Layouts.TryGetValue(layout, out FolderLayout target))
        {
            throw DiffractException.Argument($"--to {layout} is not a layout; wanted one of {string.Join(", ", LayoutWriter.Layouts.Keys)}");
        }

        FolderFiles files = FolderFiles.Find(folder);
        if (Path.GetFullPath(folder).TrimEnd(Path.DirectorySeparatorChar) == Path.GetFullPath(output).TrimEnd(Path.DirectorySeparatorChar))
        {
            throw DiffractException.Argument($"--out {output} is the folder that is read; wanted another one");
        }

        using Crosscoder crosscoder = CrosscoderFolder.Load(folder, backend);
        LayoutWriter.Save(target, output, crosscoder);
        progress.Done("export", $"{PublishedCrosscoder.ClassName(crosscoder.Config)} of {crosscoder.Latents} latents, {Path.GetFileName(files.Weights)} to {layout}, {output}");
    }
}
