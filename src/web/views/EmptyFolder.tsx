/** A folder without anything in it: the line that connects a device, ready to be copied. */
import { token } from "../model/api.ts";
import { CopyLine } from "../parts/CopyLine.tsx";

interface EmptyFolderProps {
  readonly folder: string;
  readonly path: string;
  readonly canWrite: boolean;
}

export function EmptyFolder({ folder, path, canWrite }: EmptyFolderProps) {
  if (path !== "" || !canWrite) {
    return (
      <div class="empty">
        <p>
          {canWrite
            ? "Nothing here yet. Drop files to upload them."
            : "Nothing was here at that moment."}
        </p>
      </div>
    );
  }
  const tokenFlag = token.value === "" ? "" : " --token-file token";
  const line = `synced sync ~/${folder} --server ${location.origin} --folder ${folder}${tokenFlag}`;
  return (
    <div class="empty welcome">
      <h2>Nothing here yet</h2>
      <p>Drop files to upload them, or connect a folder on another machine:</p>
      <CopyLine text={line} />
      <p class="faint">
        {tokenFlag === ""
          ? "What is in that folder appears here as soon as it is sent."
          : "The file named token holds your token. What is in the folder appears here."}
      </p>
    </div>
  );
}
