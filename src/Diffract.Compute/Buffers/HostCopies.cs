namespace Diffract.Compute.Buffers;

/// <summary>Copies between spans and host matrices, row by row: what every backend in host memory does.</summary>
public static class HostCopies
{
    public static void Upload(ReadOnlySpan<float> source, Matrix target)
    {
        ShapeException.Check(source.Length == (long)target.Rows * target.Columns, "upload", "source fills target", $"{source.Length} floats for {target}");
        for (int r = 0; r < target.Rows; r++)
        {
            source.Slice(r * target.Columns, target.Columns).CopyTo(target.Row(r));
        }
    }

    public static void Download(Matrix source, Span<float> target)
    {
        ShapeException.Check(target.Length == (long)source.Rows * source.Columns, "download", "source fills target", $"{target.Length} floats for {source}");
        for (int r = 0; r < source.Rows; r++)
        {
            source.Row(r).CopyTo(target.Slice(r * source.Columns, source.Columns));
        }
    }
}
