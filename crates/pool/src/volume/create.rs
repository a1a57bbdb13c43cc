//! Making a volume.

use uuid::Uuid;

use super::error::VolumeError;
use super::member::{Deadline, Member};
use super::members::{check_set, connect_all, disconnect_new};
use super::record::{self, Record};
use super::rules::Found;
use super::stack::Stack;
use super::{VolumeInfo, geometry, status, volume_lock};
use crate::nvmf::ReplicaUri;
use crate::system::Inner;
use crate::{Error, System};

impl System {
    /// Makes a volume of `size` bytes, rounded up to 4 KiB, over replicas that hold nothing that counts.  Durable on each of
    /// them when this returns.
    ///
    /// A replica needs 5 MiB and 132 KiB more than the volume.  It is not published; when it first is, the kernel copies the
    /// first replica over the others.
    ///
    /// # Errors
    /// [`VolumeError::Unreachable`]; [`VolumeError::Replica`] for one that is too small, or holds another volume;
    /// [`VolumeError::Exists`]; [`Error::InvalidArgument`].  When it stops on the way, the same call goes on.
    pub fn create_volume(
        &self,
        volume: Uuid,
        size: u64,
        replicas: &[ReplicaUri],
    ) -> Result<VolumeInfo, Error> {
        let inner = &*self.inner;
        let _lock = volume_lock(inner, volume)?;
        let size = geometry::volume_size(size)?;
        check_set(replicas)?;
        if Stack::find(inner, volume)?.is_some() {
            return Err(VolumeError::Exists(volume).into());
        }
        let deadline = Deadline::begin(inner);
        let members = connect_all(inner, replicas, &deadline);
        let made = create(inner, volume, size, &members, &deadline);
        disconnect_new(inner, &members);
        made.map(|record| status::of_record(&record, &members))
    }
}

fn create(
    inner: &Inner,
    volume: Uuid,
    size: u64,
    members: &[Member],
    deadline: &Deadline,
) -> Result<Record, Error> {
    let list = members.iter().map(|member| {
        let uri = record::check_uri(&member.uri)?;
        Ok(record::Member {
            uuid: member.uri.uuid,
            uri,
        })
    });
    let wanted = Record::created(volume, size, list.collect::<Result<_, Error>>()?);
    let mut has_all = true;
    for member in members {
        let refuse = |why: String| -> Error {
            VolumeError::Replica {
                replica: member.uri.uuid,
                why,
            }
            .into()
        };
        member.check_size(size)?;
        match (&member.found, member.holds) {
            (Found::Known { record, .. }, _) if record.is_of_one_volume(&wanted) => {
                if record.now.number > 1 {
                    return Err(VolumeError::Exists(volume).into());
                }
            }
            (Found::Known { .. }, Some(other)) if other != volume => {
                return Err(refuse(format!("holds volume {other}")));
            }
            (Found::Known { .. }, _) => return Err(VolumeError::Exists(volume).into()),
            (_, Some(_)) => return Err(refuse("has something where a volume's record should be".into())),
            _ => has_all = false,
        }
    }
    if has_all {
        return Err(VolumeError::Exists(volume).into());
    }
    for member in members {
        member.prepare(inner, &wanted, deadline)?;
    }
    Ok(wanted)
}
